package sdk

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

var calendarUnit = regexp.MustCompile(`([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(w|d)`)

// ParseDuration reads Go's durations with two more units, d (24 hours) and w
// (7 days): "90s", "1h30m", "7d", "1w2d12h".
func ParseDuration(s string) (time.Duration, error) {
	if s == "" || strings.ContainsAny(s[1:], "+-") {
		return 0, badDuration(s)
	}
	var days float64
	rest := calendarUnit.ReplaceAllStringFunc(s, func(part string) string {
		// The expression admits nothing that ParseFloat refuses.
		n, _ := strconv.ParseFloat(part[:len(part)-1], 64)
		if part[len(part)-1] == 'w' {
			n *= 7
		}
		days += n
		return ""
	})
	var d time.Duration
	switch rest {
	case "", "+", "-":
		if days == 0 && rest == s {
			return 0, badDuration(s)
		}
	default:
		var err error
		if d, err = time.ParseDuration(rest); err != nil {
			return 0, badDuration(s)
		}
	}
	// A leading sign stands for the whole, as it does in Go's own durations.
	if s[0] == '-' {
		days = -days
	}
	total := days*float64(24*time.Hour) + float64(d)
	if math.Abs(total) >= math.MaxInt64 {
		return 0, fmt.Errorf("duration %q is longer than 292 years", s)
	}
	return time.Duration(days*float64(24*time.Hour)) + d, nil
}

func badDuration(s string) error {
	return fmt.Errorf(`%q is not a duration: want a number with a unit, such as "90s", "15m", "1h30m", "7d" or "2w"`, s)
}

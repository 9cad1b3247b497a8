package condition

import (
	"strconv"
	"strings"
)

// The texts of [AppendOrdered] begin with what orders them: negative numbers, zero,
// positive ones.
const (
	orderedNegative = '0'
	orderedZero     = '1'
	orderedPositive = '2'
)

const (
	// mostDigits bounds the significant digits of an ordered number.
	mostDigits = 400
	// mostPoint bounds its magnitude: it has a single figure for how many figures its
	// exponent has.
	mostPoint = 999_999_999
)

// AppendOrdered appends a number, an int64, float64 or json.Number, as a text such that
// the order of the texts by bytes is the order of the numbers as conditions compare
// them: exact at any size. It is for query stores that order texts only. ok is false for
// what is no finite number, or has over 400 significant digits or a billion places.
//
// The text is a sign, the place of the decimal point (its own sign, how many figures it
// has, the figures), and the significant digits; of a negative number all figures are
// those that are left to nine, and a tilde ends them.
func AppendOrdered(dst []byte, number any) (text []byte, ok bool) {
	d, ok := decimalOf(number)
	if !ok || len(d.digits) > mostDigits || d.point > mostPoint || d.point < -mostPoint {
		return dst, false
	}
	switch d.sign() {
	case 0:
		return append(dst, orderedZero), true
	case 1:
		return append(appendPoint(append(dst, orderedPositive), d.point, false), d.digits...), true
	}
	dst = appendPoint(append(dst, orderedNegative), d.point, true)
	for i := range len(d.digits) {
		dst = append(dst, '9'-(d.digits[i]-'0'))
	}
	return append(dst, '~'), true
}

// appendPoint appends a place so that a greater one is a greater text, or a smaller one
// where it is inverted.
func appendPoint(dst []byte, point int, inverted bool) []byte {
	below := point < 0
	descending := below != inverted
	sign := byte('p')
	if descending {
		sign = 'm'
	}
	if below {
		point = -point
	}
	var figures [10]byte
	at := len(figures)
	for {
		at--
		figures[at] = byte('0' + point%10)
		if point /= 10; point == 0 {
			break
		}
	}
	start := len(dst) + 1
	dst = append(append(dst, sign, byte('0'+len(figures)-at)), figures[at:]...)
	if descending {
		for i := start; i < len(dst); i++ {
			dst[i] = '9' - (dst[i] - '0')
		}
	}
	return dst
}

// OrderedNumber gives the JSON number of a text that [AppendOrdered] wrote.
func OrderedNumber(text string) (literal string, ok bool) {
	if len(text) == 0 {
		return "", false
	}
	if text == string(orderedZero) {
		return "0", true
	}
	negative := text[0] == orderedNegative
	rest := text[1:]
	if len(rest) < 3 || !negative && text[0] != orderedPositive {
		return "", false
	}
	if negative {
		if rest, ok = strings.CutSuffix(rest, "~"); !ok {
			return "", false
		}
	}
	below := (rest[0] == 'm') != negative
	descending := below != negative
	figure := func(i int) int {
		n := int(rest[i] - '0')
		if descending {
			n = 9 - n
		}
		return n
	}
	width := figure(1)
	if width < 1 || len(rest) < 2+width+1 {
		return "", false
	}
	point := 0
	for i := 2; i < 2+width; i++ {
		point = point*10 + figure(i)
	}
	if below {
		point = -point
	}
	digits := []byte(rest[2+width:])
	if negative {
		for i := range digits {
			digits[i] = '9' - (digits[i] - '0')
		}
	}
	return decimalLiteral(string(digits), point, negative), true
}

// decimalLiteral writes 0.digits × 10^point, in full where that is about as long.
func decimalLiteral(digits string, point int, negative bool) string {
	sign := ""
	if negative {
		sign = "-"
	}
	switch {
	case point > 0 && point <= 21 && point >= len(digits):
		return sign + digits + strings.Repeat("0", point-len(digits))
	case point > 0 && point < len(digits):
		return sign + digits[:point] + "." + digits[point:]
	case point <= 0 && point > -6:
		return sign + "0." + strings.Repeat("0", -point) + digits
	}
	literal := sign + digits[:1]
	if len(digits) > 1 {
		literal += "." + digits[1:]
	}
	return literal + "e" + strconv.Itoa(point-1)
}

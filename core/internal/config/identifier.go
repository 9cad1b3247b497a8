package config

import (
	"slices"
	"strings"

	"github.com/tributary-bus/tributary/core/internal/record"
)

// An IdentifierKind is one that events may name in ids: built in, or added by
// an identification of that id.
type IdentifierKind struct {
	Name      string
	Limit     int // values a profile may have; 0: any number
	Normalise Normalisation
	// Blocked are values that identify nobody, beside those that never do.
	Blocked []string
}

// Value normalises a value of the kind; "" is none, and so is a blocked one.
func (k IdentifierKind) Value(value string) string {
	value = Normalise(k.Normalise, value)
	if identifiesNobody(value) || slices.Contains(k.Blocked, value) {
		return ""
	}
	return value
}

// identifiesNobody tells whether a value is one that programs write where they have
// none: whoever took it for a person would make one person of thousands.
func identifiesNobody(value string) bool {
	if len(value) > longestPlaceholder {
		return false
	}
	if strings.Trim(value, "0-+") == "" { // zeros, and the nil UUID
		return true
	}
	return slices.Contains(placeholders, strings.ToLower(value))
}

// placeholders stand for no value, in lower case.
var placeholders = []string{
	"-1", "null", "nil", "none", "undefined", "nan", "n/a", "unknown", "anonymous", "guest", "not set", "(not set)", "[object object]", "true", "false",
}

const longestPlaceholder = 36

// A Normalisation is a rule that makes one text of all the ways to write an
// identifier.
type Normalisation string

// The rules. All of them remove white space at either end.
const (
	NormaliseTrim   Normalisation = "trim"   // nothing else
	NormaliseLower  Normalisation = "lower"  // lower case: e-mail addresses
	NormaliseDigits Normalisation = "digits" // digits alone: card numbers
	// NormalisePhone is E.164 as far as a number tells its country by itself:
	// digits, with + in front where it was + or 00.
	NormalisePhone Normalisation = "phone"
)

var normalisations = []string{
	string(NormaliseTrim), string(NormaliseLower), string(NormaliseDigits), string(NormalisePhone),
}

// Normalise applies a rule. A value of which nothing is left is no identifier.
func Normalise(rule Normalisation, value string) string {
	value = strings.TrimSpace(value)
	switch rule {
	case NormaliseLower:
		return strings.ToLower(value)
	case NormaliseDigits:
		return digits(value)
	case NormalisePhone:
		number := digits(value)
		if rest, ok := strings.CutPrefix(number, "00"); ok {
			number, value = rest, "+"
		}
		if number != "" && strings.HasPrefix(value, "+") {
			return "+" + number
		}
		return number
	}
	return value
}

// digits drops everything but the ten ASCII digits.
func digits(s string) string {
	return strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, s)
}

// builtInKinds are there without an identification.
var builtInKinds = []IdentifierKind{
	{Name: record.KindUser, Limit: 1, Normalise: builtInRule(record.KindUser)},
	{Name: record.KindAnonymous, Normalise: builtInRule(record.KindAnonymous)},
	{Name: record.KindEmail, Normalise: builtInRule(record.KindEmail)},
	{Name: record.KindPhone, Normalise: builtInRule(record.KindPhone)},
}

func builtInRule(kind string) Normalisation {
	switch kind {
	case record.KindEmail:
		return NormaliseLower
	case record.KindPhone:
		return NormalisePhone
	}
	return NormaliseTrim
}

package config

import (
	"strings"

	"github.com/tributary-bus/tributary/core/internal/record"
)

// An IdentifierKind is one that events may name in ids: built in, or added by
// an identification of that id.
type IdentifierKind struct {
	Name      string
	Limit     int // values a profile may have; 0: any number
	Normalise Normalisation
}

// Value normalises a value of the kind; "" is none.
func (k IdentifierKind) Value(value string) string { return Normalise(k.Normalise, value) }

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
	{record.KindUser, 1, builtInRule(record.KindUser)},
	{record.KindAnonymous, 0, builtInRule(record.KindAnonymous)},
	{record.KindEmail, 0, builtInRule(record.KindEmail)},
	{record.KindPhone, 0, builtInRule(record.KindPhone)},
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

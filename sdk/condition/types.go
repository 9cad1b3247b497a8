package condition

import "strings"

// A typ is the set of types that an expression may have, as far as it is known
// when it is compiled.
type typ uint16

const (
	tNull typ = 1 << iota
	tBool
	tInt
	tDouble
	tString
	tTime
	tDuration
	tList
	tMap

	tNumber = tInt | tDouble
	tAny    = tMap<<1 - 1
)

var typeNames = [...]string{
	"null", "a boolean", "a number", "a number", "a string", "a time", "a duration", "a list", "a map",
}

func (t typ) String() string {
	if t == tAny {
		return "any value"
	}
	var names []string
	for i, name := range typeNames {
		if t&(1<<i) != 0 && (len(names) == 0 || names[len(names)-1] != name) {
			names = append(names, name)
		}
	}
	if len(names) > 1 && names[0] == "null" {
		names = names[1:]
	}
	return strings.Join(names, " or ")
}

// each calls f for every single type in t.
func (t typ) each(f func(typ)) {
	for one := tNull; one <= tMap; one <<= 1 {
		if t&one != 0 {
			f(one)
		}
	}
}

// fits tells whether a value can be one of the types that are taken; null
// always can.
func (t typ) fits(takes typ) bool { return t == tNull || t&takes != 0 }

// comparesWith tells whether a and b can be of one type, or a string beside a
// time. Null compares with everything.
func (t typ) comparesWith(o typ) bool {
	if t == tNull || o == tNull || t&o&tNull != 0 {
		return true
	}
	widen := func(t typ) typ {
		if t&tNumber != 0 {
			t |= tNumber
		}
		if t&tTime != 0 {
			t |= tString
		}
		return t
	}
	return widen(t)&o != 0 || widen(o)&t != 0
}

// arithmetic gives the types of a op b; none where no pair of types has it but
// for null.
func arithmetic(op string, a, b typ) typ {
	var result typ
	if a != tNull && b != tNull && (a|b)&tNull != 0 && arithmetic(op, a&^tNull, b&^tNull) == 0 {
		return 0
	}
	a.each(func(x typ) {
		b.each(func(y typ) { result |= arithmeticOf(op, x, y) })
	})
	return result
}

func arithmeticOf(op string, a, b typ) typ {
	switch {
	case a == tNull || b == tNull:
		return tNull
	case a == tInt && b == tInt:
		return tInt | tDouble // a json.Number counts as an integer until it is computed with
	case op == opModulo:
		return 0
	case a&tNumber != 0 && b&tNumber != 0:
		return tDouble
	}
	switch op {
	case opAdd:
		switch {
		case a == tString && b == tString, a == tList && b == tList, a == tDuration && b == tDuration:
			return a
		case a == tTime && b == tDuration, a == tDuration && b == tTime:
			return tTime
		}
	case opSubtract:
		switch {
		case a == tTime && b == tTime, a == tDuration && b == tDuration,
			a == tTime && b == tString, a == tString && b == tTime:
			return tDuration
		case a == tTime && b == tDuration:
			return tTime
		}
	}
	return 0
}

// typeOf is the type of a value.
func typeOf(v any) typ {
	switch typeName(v) {
	case "null":
		return tNull
	case "a boolean":
		return tBool
	case "a number":
		if _, is := v.(float64); is {
			return tDouble
		}
		return tInt
	case "a string":
		return tString
	case "a time":
		return tTime
	case "a duration":
		return tDuration
	case "a list":
		return tList
	case "a map":
		return tMap
	}
	return tAny
}

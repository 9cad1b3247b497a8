package elastic

import (
	"fmt"
	"regexp"

	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/condition"
)

// A decider decides documents in memory, by the tests that a predicate's leaves have.
type decider struct {
	predicate condition.Predicate
	patterns  map[string]*regexp.Regexp
}

// newDecider makes a decider of a predicate.
func newDecider(p condition.Predicate) *decider {
	return &decider{predicate: p, patterns: map[string]*regexp.Regexp{}}
}

// holds tells whether the predicate is true of a document. It is not safe for concurrent
// use.
func (d *decider) holds(body []byte) (bool, error) {
	document, err := sdk.ParseObject(body)
	if err != nil {
		return false, fmt.Errorf("read document: %w", err)
	}
	holds, failed := d.decide(d.predicate, document)
	return holds && failed == nil, nil
}

// decide is Kleene's: failed is the third value.
func (d *decider) decide(p condition.Predicate, document map[string]any) (holds bool, failed error) {
	at := func(f condition.Field) any {
		v, _ := f.Path.Get(document)
		return v
	}
	switch x := p.(type) {
	case condition.Const:
		return bool(x), nil
	case condition.Not:
		holds, failed := d.decide(x.Of, document)
		return !holds, failed
	case condition.And:
		return d.junction(x, document, false)
	case condition.Or:
		return d.junction(x, document, true)
	case condition.Exists:
		return x.Test(at(x.Field))
	case condition.Truth:
		return x.Test(at(x.Field))
	case condition.Compare:
		return x.Test(at(x.Field))
	case condition.CompareFields:
		return x.Test(at(x.Left), at(x.Right))
	case condition.In:
		return x.Test(at(x.Field))
	case condition.Has:
		return x.Test(at(x.Field))
	case condition.Text:
		re, err := d.pattern(x)
		if err != nil {
			return false, err
		}
		return x.Test(at(x.Field), re)
	case condition.Distance:
		return x.Test(at(x.Lat), at(x.Lon))
	case condition.Bucket:
		return x.Test(at(x.Field))
	}
	return false, unknown("predicate", p)
}

// junction is decided by the first part that says what settles it; otherwise it failed
// where a part did.
func (d *decider) junction(parts []condition.Predicate, document map[string]any, settles bool) (bool, error) {
	var failure error
	for _, p := range parts {
		holds, failed := d.decide(p, document)
		switch {
		case failed != nil:
			failure = failed
		case holds == settles:
			return settles, nil
		}
	}
	return !settles && failure == nil, failure
}

func (d *decider) pattern(t condition.Text) (*regexp.Regexp, error) {
	if t.Op != condition.Matches {
		return nil, nil
	}
	if re, known := d.patterns[t.Arg]; known {
		return re, nil
	}
	re, err := regexp.Compile(t.Arg)
	if err != nil {
		return nil, fmt.Errorf("pattern %q: %w", t.Arg, err)
	}
	d.patterns[t.Arg] = re
	return re, nil
}

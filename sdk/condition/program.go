package condition

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/tributary-bus/tributary/sdk"
)

// A Program is a compiled condition. It is safe for concurrent use, as long as
// the documents in Vars are.
type Program struct {
	source     string
	scope      Scope
	root       *node
	aggregates []Aggregate
	variables  []string
	// decodes is true where documents that are text are decoded before anything is
	// read of them: looking something up goes through the text each time, which a
	// loop would do for each of its elements.
	decodes bool
}

// fewLookups in a text cost less than decoding it.
const fewLookups = 8

// Source is the text that was compiled.
func (p *Program) Source() string { return p.source }

// Bool evaluates a condition. Null is false; a run-time error is false with
// the error.
func (p *Program) Bool(v *Vars) (bool, error) {
	switch r := p.run(v).(type) {
	case bool:
		return r, nil
	case nil:
		return false, nil
	case *fault:
		return false, p.failed(r)
	default:
		return false, p.failed(notCondition(r))
	}
}

// Value evaluates an expression to a value of package sdk or a time.Time; a
// duration becomes seconds. What comes out of a document is shared with it and
// must not be changed.
func (p *Program) Value(v *Vars) (any, error) {
	r := export(p.run(v))
	if f, is := r.(*fault); is {
		return nil, p.failed(f)
	}
	return r, nil
}

// Aggregates is what count, sum, first and last the condition reads, each once.
func (p *Program) Aggregates() []Aggregate { return append([]Aggregate(nil), p.aggregates...) }

// Variables lists the documents that the condition reads, sorted and each once:
// event, profile, and so on. What asks for a profile's past events reads
// profile. The clock, now, is no document and is not listed.
func (p *Program) Variables() []string { return slices.Clone(p.variables) }

func (p *Program) failed(f *fault) error {
	return fmt.Errorf("condition %q: %s", p.source, f.message)
}

// run evaluates the program; an evaluation that took too many steps is a fault
// whatever came out of it.
func (p *Program) run(v *Vars) any {
	if v == nil {
		v = &Vars{}
	}
	f := frames.Get().(*frame)
	f.vars, f.left = v, maxSteps
	if p.decodes {
		f.room = *v
		f.vars = &f.room
		for _, name := range p.variables {
			if at := f.room.place(name); at != nil {
				if text, is := (*at).(sdk.View); is {
					*at = normal(text)
				}
			}
		}
	}
	r := p.root.eval(f)
	if f.left < 0 {
		r = tooMuch
	}
	*f = frame{}
	frames.Put(f)
	return r
}

// A frame is the state of one evaluation.
type frame struct {
	vars   *Vars
	now    any // vars.Now, once it was read
	left   int // steps that may still be taken; below 0 the evaluation failed
	locals [maxLoops]any
	room   Vars // for vars where they had to be decoded
}

var frames = sync.Pool{New: func() any { return new(frame) }}

var tooMuch = &fault{message: fmt.Sprintf("took more than %d steps over its lists and texts", maxSteps)}

// spend takes n steps; false where they are used up. A nil frame has no bound:
// it evaluates what was written out in the condition.
func (f *frame) spend(n int) bool {
	if f == nil {
		return true
	}
	if f.left < n {
		f.left = -1
		return false
	}
	f.left -= n
	return true
}

// spendText takes the steps of going through a text once.
func (f *frame) spendText(s string) bool { return f.spend(len(s) / 8) }

func (f *frame) clock() any {
	if f.now == nil {
		f.now = normal(f.vars.Now)
	}
	return f.now
}

func (f *frame) clockTime() time.Time {
	t, _ := f.clock().(time.Time)
	return t
}

package processor

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/google/uuid"
)

const agendaNow = int64(1_772_366_400_000)

func TestAnAgendaGivesWhatIsDue(t *testing.T) {
	const s = 1000
	id := uuid.NewSHA1(uuid.Nil, []byte("p")).String()
	for name, c := range map[string]struct {
		put  []any // profile, due in ms from now, in turn
		at   int64 // when it is asked, in ms from now
		want []string
	}{
		"nothing":                  {nil, 0, nil},
		"not yet":                  {[]any{id, 5 * s}, 4 * s, nil},
		"due":                      {[]any{id, 5 * s}, 5 * s, []string{id}},
		"never early":              {[]any{id, 5*s + 1}, 5*s + 1, nil},
		"a second later":           {[]any{id, 5*s + 1}, 6 * s, []string{id}},
		"long ago":                 {[]any{id, -1000 * s}, 0, []string{id}},
		"before 1970":              {[]any{id, -2 * int(agendaNow)}, 0, []string{id}},
		"in ten thousand years":    {[]any{id, 10_000 * 365 * 86400 * s}, 1000 * 86400 * s, nil},
		"put off":                  {[]any{id, 5 * s, id, 9 * s}, 8 * s, nil},
		"put off and due":          {[]any{id, 5 * s, id, 9 * s}, 9 * s, []string{id}},
		"sooner":                   {[]any{id, 9 * s, id, 5 * s}, 5 * s, []string{id}},
		"sooner, once":             {[]any{id, 9 * s, id, 5 * s}, 20 * s, []string{id}},
		"nothing any more":         {[]any{id, 5 * s, id, 0}, 9 * s, nil},
		"nothing, and again":       {[]any{id, 5 * s, id, 0, id, 7 * s}, 6 * s, nil},
		"in order":                 {[]any{"b", 3 * s, "a", 2 * s, "c", 4 * s}, 3 * s, []string{"a", "b"}},
		"an id that is no UUID":    {[]any{"a b", s}, s, []string{"a b"}},
		"a UUID in another form":   {[]any{"6BA7B810-9DAD-11D1-80B4-00C04FD430C8", s}, s, []string{"6BA7B810-9DAD-11D1-80B4-00C04FD430C8"}},
		"a UUID in a longer form":  {[]any{"urn:uuid:" + id, s}, s, []string{"urn:uuid:" + id}},
		"a UUID and its long form": {[]any{id, s, "{" + id + "}", s + 1000}, 2 * s, []string{id, "{" + id + "}"}},
	} {
		a := newAgenda()
		for i := 0; i < len(c.put); i += 2 {
			due := int64(c.put[i+1].(int))
			if due != 0 {
				due += agendaNow
			}
			a.put(c.put[i].(string), due)
		}
		if got := a.take(agendaNow + c.at); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		if got := a.take(agendaNow + c.at); len(got) > 0 {
			t.Errorf("%s: %q comes twice", name, got)
		}
	}
}

// What a document says is not taken for newer than what a commit said.
func TestWhatIsFoundIsOlderThanWhatIsPut(t *testing.T) {
	a := newAgenda()
	a.put("p", agendaNow+9000)
	a.find("p", agendaNow)
	a.find("q", agendaNow)
	a.find("r", 0)
	if got := a.take(agendaNow); !slices.Equal(got, []string{"q"}) {
		t.Errorf("%q is due", got)
	}
}

// However many are due, few are seen to at a time.
func TestAnAgendaGivesAFewAtATime(t *testing.T) {
	a := newAgenda()
	for i := range 1000 {
		a.put(fmt.Sprint("p", i), agendaNow)
	}
	if n := len(a.take(agendaNow)); n != 256 {
		t.Errorf("%d are given, want 256", n)
	}
	if n := len(a.take(agendaNow)); n != 0 {
		t.Errorf("%d are given while 256 are seen to", n)
	}
	a.done(100)
	if n := len(a.take(agendaNow)); n != 100 {
		t.Errorf("%d are given when 100 are done", n)
	}
	a.done(10_000)
	for got := 1; got > 0; a.done(got) {
		got = len(a.take(agendaNow))
	}
	if len(a.at)+len(a.queue)+len(a.names) != 0 {
		t.Errorf("left are %d, %d and %d", len(a.at), len(a.queue), len(a.names))
	}
}

// An agenda agrees with a map of what is due, whatever is put.
func TestAnAgendaAgreesWithAMap(t *testing.T) {
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // repeatable
		a, want := newAgenda(), map[string]int64{}
		now := agendaNow
		for range 500 {
			profile := fmt.Sprint("p", random.IntN(20))
			switch due := now + 1000*int64(random.IntN(40)-5); random.IntN(8) {
			case 0:
				a.put(profile, 0)
				delete(want, profile)
			default:
				a.put(profile, due)
				want[profile] = due
			}
			now += 1000 * int64(random.IntN(3))
			got := a.take(now)
			a.done(len(got))
			slices.Sort(got)
			var expected []string
			for profile, due := range want {
				if due <= now {
					expected = append(expected, profile)
					delete(want, profile)
				}
			}
			slices.Sort(expected)
			if !slices.Equal(got, expected) {
				t.Fatalf("seed %d: %q, want %q", seed, got, expected)
			}
		}
		if len(a.queue) > 500 {
			t.Errorf("seed %d: the queue has %d places", seed, len(a.queue))
		}
	}
}

// BenchmarkAgenda measures what a commit's document costs whose profile puts off what
// is due, with half a million profiles that wait, and what they take.
func BenchmarkAgenda(b *testing.B) {
	const profiles = 500_000
	ids := make([]string, profiles)
	for i := range ids {
		ids[i] = uuid.NewSHA1(uuid.Nil, fmt.Append(nil, i)).String()
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	a := newAgenda()
	for i, id := range ids {
		a.put(id, agendaNow+int64(i))
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		a.put(ids[i%profiles], agendaNow+1_800_000+int64(i))
		i += 7919
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/profiles, "B/profile")
}

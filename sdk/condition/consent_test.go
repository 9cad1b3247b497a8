package condition_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/condition"
)

func TestConsented(t *testing.T) {
	p, err := condition.CompileCondition(`consented("a-b") && !consented("c")`, condition.EventScope)
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Variables(); !reflect.DeepEqual(got, []string{"profile"}) {
		t.Errorf("it reads %v", got)
	}
	document := `{"consents":{"a-b":{"granted":true,"expires":"2026-03-01T12:00:00.000Z"},"c":{"granted":false}}}`
	profile := &sdk.Profile{}
	if err := profile.UnmarshalJSON([]byte(`{"id":"p","created":"2026-01-01T00:00:00.000Z",` + document[1:])); err != nil {
		t.Fatal(err)
	}
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for name, of := range map[string]any{"a text": sdk.RawView([]byte(document)), "a profile": profile, "a map": objectOf(t, document)} {
		for at, want := range map[time.Time]bool{noon.Add(-time.Millisecond): true, noon: false, noon.Add(time.Hour): false} {
			if got, err := p.Bool(&condition.Vars{Profile: of, Now: at}); got != want || err != nil {
				t.Errorf("of %s at %s: %v, %v, want %v", name, at, got, err, want)
			}
		}
	}
	for _, nobody := range []any{nil, (*sdk.Profile)(nil), sdk.View{}, "text"} {
		if got, err := p.Bool(&condition.Vars{Profile: nobody, Now: noon}); got || err != nil {
			t.Errorf("of nobody (%#v): %v, %v", nobody, got, err)
		}
	}
}

func objectOf(t *testing.T, text string) map[string]any {
	t.Helper()
	m, err := sdk.ParseObject([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestConsentedRefuses(t *testing.T) {
	for source, want := range map[string]string{
		`consented()`:              "takes the id of a consent type",
		`consented("a", "b")`:      "takes the id of a consent type",
		`consented("")`:            "takes a text that is written out",
		`consented(5)`:             "takes a text that is written out",
		`consented(profile.id)`:    "takes a text that is written out",
		`profile.id.consented()`:   "consented is no method",
		`consented("a") > 5`:       "never compares",
		`consented("a").x == true`: "has no field x",
	} {
		if _, err := condition.CompileCondition(source, condition.ProfileScope); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", source, err, want)
		}
	}
	if _, err := condition.CompileCondition(`consented("a")`, condition.SessionScope); err == nil || !strings.Contains(err.Error(), "there is no profile here") {
		t.Errorf("where there is no profile: %v", err)
	}
	p, err := condition.CompileCondition(`consented("a")`, condition.EventScope)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Predicate(time.Now()); err == nil || !strings.Contains(err.Error(), "the search is over events") {
		t.Errorf("a search for events: %v", err)
	}
}

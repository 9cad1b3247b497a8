package querystore

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestDecideWhichStoreAnswers(t *testing.T) {
	file := func(path string) Target { return Target{Store: "sqlite", Place: path} }
	standard, x, y := file("store.db"), file("/x.db"), file("/y.db")
	with := func(t Target) Target { t.Settings = map[string]string{"password": "new"}; return t }
	fills := func(t Target, emptied bool) *fillState { return &fillState{Target: t, Emptied: emptied} }
	for name, c := range map[string]struct {
		kept   *state
		wished Target
		exist  []Target
		want   state
	}{
		"a fresh directory":                        {nil, x, nil, state{Answers: x, Configured: x.String()}},
		"a fresh directory, the standard one":      {nil, standard, nil, state{Answers: standard, Configured: standard.String()}},
		"a filled one":                             {nil, x, []Target{standard}, state{Answers: standard, Configured: x.String(), Filling: fills(x, false)}},
		"nothing new":                              {&state{Answers: x, Configured: x.String(), Serial: 3}, x, []Target{x}, state{Answers: x, Configured: x.String(), Serial: 3}},
		"newer settings of the one that answers":   {&state{Answers: x, Configured: x.String()}, with(x), []Target{x}, state{Answers: with(x), Configured: x.String()}},
		"a command said another one since":         {&state{Answers: y, Configured: x.String(), Kept: &x}, x, []Target{x, y}, state{Answers: y, Configured: x.String(), Kept: &x}},
		"a fill goes on":                           {&state{Answers: x, Configured: x.String(), Filling: fills(y, true)}, x, []Target{x, y}, state{Answers: x, Configured: x.String(), Filling: fills(y, true)}},
		"a fill goes on with newer settings":       {&state{Answers: x, Configured: y.String(), Filling: fills(y, true)}, with(y), []Target{x, y}, state{Answers: x, Configured: y.String(), Filling: fills(with(y), true)}},
		"the settings name another one":            {&state{Answers: x, Configured: x.String()}, y, []Target{x}, state{Answers: x, Configured: y.String(), Filling: fills(y, false)}},
		"they name the kept one":                   {&state{Answers: x, Configured: x.String(), Kept: &y}, y, []Target{x, y}, state{Answers: x, Configured: y.String(), Filling: fills(y, false)}},
		"they name the one that answers, again":    {&state{Answers: x, Configured: y.String(), Filling: fills(y, true)}, x, []Target{x, y}, state{Answers: x, Configured: x.String()}},
		"the one that answered was moved there":    {&state{Answers: x, Configured: x.String(), Serial: 1}, y, []Target{y}, state{Answers: y, Configured: y.String(), Serial: 2}},
		"the one that answers was deleted":         {&state{Answers: x, Configured: x.String()}, x, nil, state{Answers: x, Configured: x.String()}},
		"the kept one was deleted":                 {&state{Answers: x, Configured: x.String(), Kept: &y}, x, []Target{x}, state{Answers: x, Configured: x.String()}},
		"another one is named while one is filled": {&state{Answers: x, Configured: x.String(), Filling: fills(y, true)}, standard, []Target{x, y}, state{Answers: x, Configured: standard.String(), Filling: fills(standard, false)}},
	} {
		exists := func(target Target) bool {
			for _, e := range c.exist {
				if e.Is(target) {
					return true
				}
			}
			return false
		}
		if got := decide(c.kept, c.wished, standard, exists); !reflect.DeepEqual(*got, c.want) {
			t.Errorf("%s: %+v, want %+v", name, *got, c.want)
		}
	}
}

func TestStateIsKept(t *testing.T) {
	dir := t.TempDir()
	if s, err := loadState(dir); s != nil || err != nil {
		t.Errorf("of nothing: %v %v", s, err)
	}
	want := &state{Answers: Target{Store: "sqlite", Place: "x", Settings: map[string]string{"a": "b"}}, Configured: "sqlite x", Serial: 2, Filling: &fillState{Target: second}, Kept: &first}
	if err := want.save(dir); err != nil {
		t.Fatal(err)
	}
	if got, err := loadState(dir); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v %v", got, err)
	}
	if info, err := os.Stat(filepath.Join(dir, stateFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if err := os.WriteFile(filepath.Join(dir, stateFile), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := loadState(dir); err == nil || !strings.Contains(err.Error(), "is damaged") {
		t.Errorf("a damaged file: %v", err)
	}
}

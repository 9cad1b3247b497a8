package supervisor

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/sdk/control"
)

func TestPatience(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	standardPatience := func() *patience {
		return &patience{least: standard.least, most: standard.most, steady: standard.steady, ends: standard.ends, span: standard.span}
	}
	p := standardPatience()
	var waits []string
	for i := 1; i <= 10; i++ {
		wait, giveUp := p.ended(now, time.Second, true)
		now = now.Add(time.Second + wait)
		waits = append(waits, wait.String())
		if giveUp != (i == 10) {
			t.Errorf("end %d gives up: %v", i, giveUp)
		}
	}
	if got := strings.Join(waits, " "); got != "100ms 200ms 400ms 800ms 1.6s 3.2s 6.4s 12.8s 25.6s 30s" {
		t.Errorf("waits %s", got)
	}
	if wait, _ := p.ended(now, standard.steady, false); wait != standard.least {
		t.Errorf("after a steady run it waits %v", wait)
	}
	if p.forget(); len(p.recent) != 0 || p.step != 0 {
		t.Error("it does not forget")
	}
	// Ends that are far apart, or not its fault, are never too many.
	p = standardPatience()
	for range 100 {
		now = now.Add(standard.span / 8)
		if _, giveUp := p.ended(now, time.Second, true); giveUp {
			t.Fatal("gives up, though the ends are far apart")
		}
		if _, giveUp := p.ended(now, time.Second, false); giveUp {
			t.Fatal("gives up without blame")
		}
	}
	if len(p.recent) > standard.ends {
		t.Errorf("remembers %d ends", len(p.recent))
	}
}

func TestLines(t *testing.T) {
	long := strings.Repeat("x", maxLine)
	tests := []struct {
		name   string
		writes []string
		want   []string
	}{
		{"whole", []string{"a\nb\r\n\nc\n"}, []string{"a", "b", "c"}},
		{"in pieces", []string{"a", "b\nc", "d\n"}, []string{"ab", "cd"}},
		{"without an end", []string{"a\nb"}, []string{"a", "b"}},
		{"just fits", []string{long + "\nb\n"}, []string{long, "b"}},
		{"just fits, in pieces", []string{long, "\nb\n"}, []string{long, "b"}},
		{"too long", []string{long + "yy", "yyy\nb\n"}, []string{long, "b"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			w := &lineWriter{emit: func(line []byte) { got = append(got, string(line)) }}
			for _, text := range test.writes {
				if n, err := w.Write([]byte(text)); n != len(text) || err != nil {
					t.Errorf("writes %d, %v", n, err)
				}
			}
			w.flush()
			if !slices.Equal(got, test.want) {
				t.Errorf("got %.60q, want %.60q", got, test.want)
			}
		})
	}
}

func TestParseLine(t *testing.T) {
	tests := []struct{ text, want string }{
		{`hello`, `INFO hello`},
		{`{"time":"2026-01-01T00:00:00Z","level":"ERROR","msg":"it broke","n":3,"why":"a \"b\""}`, `ERROR it broke {"n":3,"why":"a \"b\""}`},
		{`{"@level":"trace","@message":"hi","@module":"m","@timestamp":"x"}`, `DEBUG hi {"module":"m"}`},
		{`{"level":"loud","msg":"x"}`, `INFO x`},
		{`{"event":"no message"}`, `INFO {"event":"no message"}`},
		{`{"msg":"half`, `INFO {"msg":"half`},
		{`{"msg":"a"} b`, `INFO {"msg":"a"} b`},
		{`panic: oh`, `ERROR panic: oh`},
		{"bad \xff", "INFO bad \uFFFD"},
	}
	for _, test := range tests {
		p := parseLine([]byte(test.text))
		if got := strings.TrimSpace(fmt.Sprint(p.level, " ", p.message, " ", string(p.fields()))); got != test.want {
			t.Errorf("%s is read as %s, want %s", test.text, got, test.want)
		}
	}
}

func FuzzParseLine(f *testing.F) {
	f.Add([]byte(`{"level":"INFO","msg":"x","a":{"b":[1,"c"]}}`))
	f.Add([]byte("text"))
	f.Fuzz(func(t *testing.T, text []byte) {
		p := parseLine(text)
		if v := p.fields(); v != nil && !v.IsValid() {
			t.Errorf("%q has the fields %s", text, v)
		}
	})
}

func TestTheJournalIsBounded(t *testing.T) {
	out := &buffer{}
	j := newJournal(slog.New(slog.NewTextHandler(out, nil)))
	for i := range 3000 {
		j.write(fmt.Appendf(nil, "line %d", i))
	}
	lines := j.lines(0, 5000)
	if len(lines) != maxLines || lines[0].Message != "line 2000" || lines[maxLines-1].Seq != 3000 {
		t.Errorf("%d lines are kept from %+v on", len(lines), lines[0])
	}
	if some := j.lines(2998, 10); len(some) != 2 || some[0].Seq != 2999 {
		t.Errorf("after line 2998: %+v", some)
	}
	if n := strings.Count(out.String(), "\n"); n < burstLines || n > 2*burstLines {
		t.Errorf("%d lines are passed on", n)
	}
	j.tell(time.Now())
	j.tell(time.Now())
	if n := strings.Count(out.String(), "left_out="); n != 1 {
		t.Errorf("told %d times of what is left out", n)
	}
	for range maxLines {
		j.write([]byte(strings.Repeat("x", maxLine)))
	}
	if lines := j.lines(0, 5000); len(lines) != maxLinesBytes/maxLine || j.bytes > maxLinesBytes {
		t.Errorf("%d long lines are kept, %d bytes", len(lines), j.bytes)
	}
}

func TestManifests(t *testing.T) {
	many := make([]*control.Action, maxActions+1)
	tests := []struct {
		name   string
		change func(*control.Manifest)
		want   string // empty: it is good
	}{
		{"good", func(*control.Manifest) {}, ""},
		{"a version before the first", func(m *control.Manifest) { m.Version = "0.1.0-rc.1+5" }, ""},
		{"no name", func(m *control.Manifest) { m.Name = "" }, `its name is ""`},
		{"a path", func(m *control.Manifest) { m.Name = "../x" }, `its name is "../x"`},
		{"a long name", func(m *control.Manifest) { m.Name = strings.Repeat("a", 33) }, "its name is"},
		{"a version", func(m *control.Manifest) { m.Version = "new" }, `its version is "new"; want a semantic version`},
		{"many actions", func(m *control.Manifest) { m.Actions = many }, "it has 257 actions"},
		{"an action", func(m *control.Manifest) { m.Actions[0].Name = "a.b" }, `its action "a.b": want a name`},
		{"twice", func(m *control.Manifest) { m.Actions = append(m.Actions, m.Actions[0]) }, `the action "greet" twice`},
		{"error port", func(m *control.Manifest) { m.Actions[0].Ports = []string{"error"} }, "names the port error"},
		{"port twice", func(m *control.Manifest) { m.Actions[0].Ports = []string{"a", "a"} }, `the port "a" twice`},
		{"port", func(m *control.Manifest) { m.Actions[0].Ports = []string{"a b"} }, `its port is "a b"`},
		{"schema", func(m *control.Manifest) { m.Actions[0].ConfigSchema = []byte(`{`) }, "the schema of its config: not JSON"},
		{"own schema", func(m *control.Manifest) { m.ConfigSchema = []byte(`[]`) }, "the schema of its configuration: want a JSON Schema"},
		{"a large schema", func(m *control.Manifest) { m.ConfigSchema = make([]byte, maxSchema+1) }, "has more than 262144 bytes"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := &control.Manifest{Name: "hello", Version: "1.0.0", Actions: []*control.Action{{Name: "greet"}}}
			test.change(m)
			specs, err := actionsOf(m)
			switch {
			case test.want == "" && (err != nil || specs[0].ID != "hello/greet" || !slices.Equal(specs[0].Ports, []string{"done"})):
				t.Errorf("gives %+v, %v", specs, err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("gives %v, want %s", err, test.want)
			}
		})
	}
}

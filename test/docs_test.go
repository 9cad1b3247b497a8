package test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/gorilla/websocket"
)

// The documentation is run. What a page shows in a fenced block is checked by
// its language, and by a comment on the line before it:
//
//	<!-- run: NAME -->     sh: all blocks of a page and NAME run in one shell
//	<!-- prints: NAME -->  what the run block before it prints; … is anything
//	<!-- file: NAME PATH --> any: a file that the run blocks after it find in their directory
//	<!-- ws: NAME -->      ws: frames sent (→) and received (←) on a connection
//	<!-- validate: PATH --> yaml: resources that need those of PATH
type block struct {
	page        string // relative to the repository
	line        int
	language    string
	action, arg string // of the comment
	text        string
}

func (b *block) place() string { return fmt.Sprintf("%s:%d", b.page, b.line) }

// shown are the blocks that are not run, by page and first line, and why.
var shown = map[string]string{
	"README.md: make demo     # starts it, imports 18,532 real orders, shows the profiles, and stays up":                "TestDemo runs it",
	`docs/operating.md: tributary run --data /var/lib/tributary --http 0.0.0.0:8080 \`:                                  "listens beyond loopback, with a certificate",
	`docs/operating.md: tributary run --data /var/lib/tributary --set bus.urls=nats://nats-1:4222,nats://nats-2:4222 \`: "needs a cluster",
	"docs/operating.md: tributary plugin list":                                                                          "needs a plugin of a third party",
	`docs/operating.md: tributary run --data /var/lib/tributary --set bus.urls=nats://nats-1:4222 \`:                    "needs a server with accounts",
	`docs/stores.md: tributary store rebuild --to elasticsearch \`:                                                      "needs an Elasticsearch; TestStoreMovesToElasticsearch does it",
	"docs/configuration.md: http:": "settings, not resources",
}

func isShown(b *block) bool {
	first, _, _ := strings.Cut(b.text, "\n")
	_, ok := shown[b.page+": "+first]
	return ok
}

var marker = regexp.MustCompile(`^<!-- ([a-z]+): (.+) -->$`)

// pages reads the README, the documentation and what the examples say of
// themselves, by path.
func pages(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob("../docs/*.md")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no documentation: %v", err)
	}
	examples, err := filepath.Glob("../configs/examples/*/README.md")
	if err != nil || len(examples) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	texts := map[string]string{}
	for _, path := range slices.Concat(paths, examples, []string{"../README.md"}) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		texts[strings.TrimPrefix(path, "../")] = string(text)
	}
	return texts
}

// blocks lists the fenced blocks of all pages in order.
func blocks(t *testing.T) []block {
	t.Helper()
	var list []block
	texts := pages(t)
	names := make([]string, 0, len(texts))
	for name := range texts {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, page := range names {
		var open *block
		before := ""
		for i, line := range strings.Split(texts[page], "\n") {
			switch {
			case open == nil && strings.HasPrefix(line, "```"):
				open = &block{page: page, line: i + 1, language: strings.TrimPrefix(line, "```")}
				if m := marker.FindStringSubmatch(before); m != nil {
					open.action, open.arg = m[1], m[2]
				}
			case open != nil && line == "```":
				list, open = append(list, *open), nil
			case open != nil:
				open.text += line + "\n"
			}
			before = line
		}
		if open != nil {
			t.Fatalf("%s: the block is not closed", open.place())
		}
	}
	return list
}

func TestDocumentedJSONParses(t *testing.T) {
	t.Parallel()
	for _, b := range blocks(t) {
		if b.language != "json" || b.action == "prints" {
			continue // those are compared with what is printed
		}
		values := json.NewDecoder(strings.NewReader(b.text))
		for n := 0; ; n++ {
			var v any
			err := values.Decode(&v)
			if errors.Is(err, io.EOF) && n > 0 {
				break
			}
			if err != nil {
				t.Errorf("%s: %v", b.place(), err)
				break
			}
		}
	}
}

func TestDocumentedResourcesAreValid(t *testing.T) {
	t.Parallel()
	for _, b := range blocks(t) {
		if b.language != "yaml" || isShown(&b) {
			continue
		}
		file := filepath.Join(t.TempDir(), "example.yaml")
		if err := os.WriteFile(file, []byte(b.text), 0o600); err != nil {
			t.Fatal(err)
		}
		args := []string{"validate", "-f", file}
		if b.action == "validate" {
			args = append(args, "-f", filepath.Join("..", b.arg))
		}
		cmd := exec.CommandContext(t.Context(), binary, args...)
		cmd.Env = environment()
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", b.place(), err, out)
		}
	}
}

func TestDocumentedFrames(t *testing.T) {
	t.Parallel()
	p := launch(t)
	p.run("apply", "-f", retail)
	token, err := os.ReadFile(filepath.Join(p.dir, "admin-token"))
	if err != nil {
		t.Fatal(err)
	}
	played := 0
	for _, b := range blocks(t) {
		if b.language == "ws" {
			played++
			play(t, p, &b, strings.ReplaceAll(b.text, "TOKEN", strings.TrimSpace(string(token))))
		}
	}
	if played == 0 {
		t.Error("no page shows WebSocket frames")
	}
}

// play sends the frames of a block and looks for the answers that it shows,
// between two frames that are sent in any order.
func play(t *testing.T, p *product, b *block, text string) {
	t.Helper()
	conn, _, err := websocket.DefaultDialer.DialContext(t.Context(), "ws"+strings.TrimPrefix(p.url, "http")+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	lines := strings.Split(strings.TrimSpace(text), "\n")
	var waiting []string // frames that came and were not looked for yet
	for i, line := range lines {
		if frame, ok := strings.CutPrefix(line, "→ "); ok {
			if err := conn.WriteMessage(websocket.TextMessage, []byte(frame)); err != nil {
				t.Fatal(err)
			}
			continue
		}
		frame, ok := strings.CutPrefix(line, "← ")
		if !ok {
			t.Fatalf("%s: line %d begins with neither → nor ←", b.place(), i+1)
		}
		want := pattern(squeeze(frame), "(?s)")
		for {
			if at := slices.IndexFunc(waiting, func(got string) bool { return want.MatchString(squeeze(got)) }); at >= 0 {
				waiting = slices.Delete(waiting, at, at+1)
				break
			}
			_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second)) // never fails
			_, message, err := conn.ReadMessage()
			if err != nil {
				t.Fatalf("%s: line %d: %v; got %q", b.place(), i+1, err, waiting)
			}
			waiting = append(waiting, strings.Split(string(message), "\n")...)
		}
	}
	if len(waiting) > 0 {
		t.Errorf("%s: more came than is shown: %q", b.place(), waiting)
	}
}

var (
	metricName = regexp.MustCompile("`(tributary_[a-z_]+)")
	exported   = regexp.MustCompile(`(?m)^(tributary_[a-z_]+?)(?:_bucket|_sum|_count)?[{ ]`)
	endpoint   = regexp.MustCompile("(?m)^\\| `(GET|PUT|POST|DELETE) (/api/v1/[^`]+)` \\|")
)

func names(expression *regexp.Regexp, text string) []string {
	var list []string
	for _, m := range expression.FindAllStringSubmatch(text, -1) {
		list = append(list, m[1])
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func TestDocumentedMetricsAndEndpoints(t *testing.T) {
	t.Parallel()
	p := launch(t)
	p.run("apply", "-f", retail)
	p.run("send", "page-view", "--user", "1", "--wait", "indexed")
	p.ask(`{"type":"order-completed","ids":{"user":"1"},"properties":{"total":2000}}`) // so that an action was called
	page := pages(t)["docs/operating.md"]

	want := names(exported, string(p.api(http.MethodGet, "/metrics", "").body))
	if got := names(metricName, page); !slices.Equal(got, want) {
		t.Errorf("the page has the metrics %q, the product %q", got, want)
	}

	endpoints := endpoint.FindAllStringSubmatch(page, -1)
	if len(endpoints) < 10 {
		t.Errorf("the page has %d endpoints", len(endpoints))
	}
	for _, e := range endpoints {
		path := strings.NewReplacer("profiles/{id}", "profiles/user:1", "{kind}", "source", "import/{id}", "import/orders", "erasures/{profile}", "erasures/nobody", "{id}", "dev", "{seq}", "1").Replace(e[2])
		a := p.api(e[1], path, "{}")
		if a.status == http.StatusMethodNotAllowed || strings.Contains(string(a.body), "there is nothing at") {
			t.Errorf("%s %s is %d %s", e[1], path, a.status, a.body)
		}
	}
}

var (
	link    = regexp.MustCompile(`\[[^\]]*\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	fence   = regexp.MustCompile("(?ms)^```.*?^```$")
)

// anchor is what a heading is linked to by, as GitHub makes it.
func anchor(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
			return unicode.ToLower(r)
		}
		return -1
	}, heading)
}

func TestDocumentationLinksResolve(t *testing.T) {
	t.Parallel()
	texts := pages(t)
	for page, text := range texts {
		for _, m := range link.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			path, fragment, _ := strings.Cut(m[1], "#")
			target := page
			if path != "" {
				target = filepath.Join(filepath.Dir(page), path)
			}
			if _, err := os.Stat(filepath.Join("..", target)); errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: %s leads nowhere", page, m[1])
				continue
			}
			there := func(h string) bool { return anchor(h) == fragment }
			if fragment != "" && !slices.ContainsFunc(names(heading, fence.ReplaceAllString(texts[target], "")), there) {
				t.Errorf("%s: %s has no heading %q", page, m[1], fragment)
			}
		}
	}
}

func TestEveryDependencyIsDefended(t *testing.T) {
	t.Parallel()
	mod, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	var required []string
	for line := range strings.Lines(string(mod)) {
		if f := strings.Fields(line); strings.HasPrefix(line, "\t") && len(f) == 2 {
			required = append(required, f[0]) // the others end with // indirect
		}
	}
	slices.Sort(required)
	defended := names(regexp.MustCompile("(?m)^\\| `([^`]+)` \\| .+\\. \\|$"), pages(t)["docs/dependencies.md"])
	if len(required) == 0 || !slices.Equal(required, defended) {
		t.Errorf("go.mod asks for %q, docs/dependencies.md defends %q", required, defended)
	}
}

package condition_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/condition"
)

// What the tables of docs/conditions.md are tried on.
const (
	annProfile = `{
		"id":"0198f1c2-0000-7000-8000-000000000001","ids":["0198f1c2-0000-7000-8000-000000000001","0198f1c2-0000-7000-8000-000000000009"],
		"identities":{"email":["ann@example.com"]},"created":"2025-12-30T10:00:00.000Z","updated":"2026-03-10T12:30:00.000Z","revision":7,
		"traits":{
			"plan":"pro","country":"PT","city":"Lisbon","name":"André O'Neill","email":"ann@example.com","age":41,"lists":["press"],"colours":["red","blue"],
			"signed_up":"2026-01-15","renewal":"2026-03-20","birthday":"1985-03-10","goals":{"first_order":"2026-01-16T09:00:00Z"},"last_total":150,
			"shipping":{"country":"PT"},"billing":{"country":"ES"},"home":{"lat":41.1579,"lon":-8.6291}},
		"segments":{"loyal":{"since":"2026-01-20T00:00:00.000Z"},"buyers":{"since":"2026-03-09T00:00:00.000Z"},"newsletter-2026":{"since":"2026-03-09T00:00:00.000Z"}},
		"consents":{"newsletter":{"granted":true}},"interests":{"cycling":0.9},"counters":{"orders":12,"orders_in_spring":2,"big_orders":3},
		"stats":{"visits":1,"views":3,"first_seen":"2026-03-01T10:00:00.000Z","last_seen":"2026-03-10T12:29:00.000Z","events":{}}}`
	annEvent = `{
		"id":"e1","type":"order-completed","source":"shop","session":"s1","profile":"0198f1c2-0000-7000-8000-000000000001","time":"2026-03-10T12:29:00.000Z",
		"received":"2026-03-10T12:29:01.000Z","tags":["ecommerce"],"valid":true,
		"properties":{"total":150.25,"shipping":{"country":"PT"},"billing":{"country":"ES"},"items":[{"category":"shoes","price":80,"in_stock":true},{"category":"hats","price":70.25,"in_stock":true}]}}`
	annSession = `{
		"id":"s1","profile":"0198f1c2-0000-7000-8000-000000000001","started":"2026-03-10T12:25:00.000Z","updated":"2026-03-10T12:31:00.000Z","duration":360,"status":"active",
		"device":{"type":"mobile"},"utm":{"source":"mail"},"geo":{"country":"PT","region":"Lisbon","city":"Lisboa","lat":38.75,"lon":-9.2}}`
	formEvent    = `{"type":"form-submitted","properties":{"form":"contact"}}`
	videoEvent   = `{"type":"video-playback-completed","properties":{"video_id":"v-3"}}`
	consentEvent = `{"type":"consent-update","properties":{"consents":{"marketing":true}}}`
)

// annPast is when her events were, by type.
type annPast map[string][]time.Duration // before now

func (p annPast) Count(eventType string, window time.Duration) (n int64) {
	for _, at := range p[eventType] {
		if window == 0 || at < window {
			n++
		}
	}
	return n
}

func (p annPast) Sum(eventType, _ string, window time.Duration) any {
	return 550 * p.Count(eventType, window)
}
func (p annPast) First(eventType string) time.Time { return p.moment(eventType, slices.Max) }
func (p annPast) Last(eventType string) time.Time  { return p.moment(eventType, slices.Min) }

func (p annPast) moment(eventType string, of func([]time.Duration) time.Duration) time.Time {
	if len(p[eventType]) == 0 {
		return time.Time{}
	}
	return now.Add(-of(p[eventType]))
}

// nobodyToo are those that hold where nothing is known.
var nobodyToo = []string{
	`true`, `!(profile.traits.plan == "free")`, `!("young" in profile.segments)`, `profile.traits.city != "Porto"`, `!has(profile.traits.phone)`, `profile.traits.phone == null`,
	`!(profile.traits.country in ["FR", "DE"])`, `!["green", "grey"].exists(c, c in profile.traits.colours)`, `event.properties.items.all(i, i.in_stock)`, `count("refund-asked") == 0`,
}

var codeOfCell = regexp.MustCompile("`([^`]+)`")

// Every condition of the tables of what people ask holds for the person it is
// tried on, and for nobody only where it asks for what is not there.
func TestVocabulary(t *testing.T) {
	text, err := os.ReadFile("../../docs/conditions.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## What people ask\n")
	section, _, _ = strings.Cut(section, "\n## Searching\n")
	day := 24 * time.Hour
	ann := condition.Vars{
		Now: now, Profile: document(t, annProfile), Event: document(t, annEvent), Session: document(t, annSession),
		History: annPast{
			"order-completed": {10 * time.Minute, 9 * day, 54 * day}, "cart-filled": {30 * time.Minute, 10 * day}, "signed-up": {100 * day},
			"login": {time.Second, 2 * time.Second, 50 * time.Second}, "wish-made": {day},
		},
	}
	empty := condition.Vars{Now: now, Profile: map[string]any{}, Event: map[string]any{}, Session: map[string]any{}}
	tried := 0
	for line := range strings.Lines(section) {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| asked") {
			continue
		}
		cells := strings.Split(strings.ReplaceAll(strings.TrimSpace(line), `\|`, "\x00"), "|")
		if len(cells) != 4 {
			t.Errorf("%q has %d cells", line, len(cells))
			continue
		}
		for _, code := range codeOfCell.FindAllStringSubmatch(strings.ReplaceAll(cells[2], "\x00", "|"), -1) {
			tried++
			p, err := condition.CompileCondition(code[1], fullScope)
			if err != nil {
				t.Errorf("%s: %v", code[1], err)
				continue
			}
			vars := ann
			for eventType, other := range map[string]string{"form-submitted": formEvent, "video-playback-completed": videoEvent, "consent-update": consentEvent} {
				if strings.Contains(code[1], eventType) {
					vars.Event = document(t, other)
				}
			}
			if strings.Contains(code[1], "visits > 1") {
				vars.Profile = document(t, strings.Replace(annProfile, `"visits":1`, `"visits":2`, 1))
			}
			if is, err := p.Bool(&vars); !is || err != nil {
				t.Errorf("%s is %v, %v, for Ann", code[1], is, err)
			}
			for form, nobody := range map[string]*condition.Vars{"an empty document": &empty, "no document": {Now: now}} {
				if is, err := p.Bool(nobody); is != slices.Contains(nobodyToo, code[1]) || err != nil {
					t.Errorf("%s is %v, %v, for %s", code[1], is, err, form)
				}
			}
		}
	}
	if tried < 90 {
		t.Errorf("only %d conditions were found", tried)
	}
}

// The page names every operator and all that can be called.
func TestLanguageIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/conditions.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "\n## Operators and functions\n")
	table, _, _ = strings.Cut(table, "\n## ")
	for _, name := range condition.Operators() {
		switch name {
		case "?":
			name = "c ? a : b"
		case "||":
			name = `\|\|`
		case "in":
			name = "x in list"
		case "[]":
			continue // a name or an index in brackets, above
		default:
			name = "`" + name + "`"
		}
		if !strings.Contains(table, name) {
			t.Errorf("operator %s is not on the page", name)
		}
	}
	for _, name := range condition.Functions() {
		if !strings.Contains(table, "`"+name+"(") {
			t.Errorf("function %s is not on the page", name)
		}
	}
	for _, name := range slices.Concat(condition.Methods(), condition.Macros()) {
		if !regexp.MustCompile("`[a-z.]*" + name + "\\b").MatchString(table) {
			t.Errorf("%s is not on the page", name)
		}
	}
}

// A name of the lists is known to the compiler, whatever it says of its values.
func TestListsAreTheLanguage(t *testing.T) {
	call := func(source string) string {
		_, err := condition.Compile(source, fullScope)
		if err == nil {
			return ""
		}
		return err.Error()
	}
	for _, name := range condition.Functions() {
		if said := call(name + `()`); strings.Contains(said, "unknown") {
			t.Errorf("%s: %s", name, said)
		}
	}
	for _, name := range condition.Methods() {
		if said := call(`payload.` + name + `(payload, payload, payload)`); said == "" || strings.Contains(said, "unknown") {
			t.Errorf("%s: %s", name, said)
		}
	}
	for _, name := range condition.Macros() {
		if said := call(`payload.` + name + `(x, true)`); said != "" {
			t.Errorf("%s: %s", name, said)
		}
	}
}

// A cohort has its share of all profiles, is the same for all forms of a
// document, and says nothing of another cohort.
func TestBucket(t *testing.T) {
	source := func(name string) *condition.Program {
		p, err := condition.CompileCondition(`bucket("`+name+`", 10) < 3`, condition.ProfileScope)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	one, other := source("one"), source("other")
	inOne, inOther, inBoth := 0, 0, 0
	const profiles = 10_000
	for i := range profiles {
		p := sdk.NewProfile(fmt.Sprintf("0198f1c2-0000-7000-8000-%012x", i), now)
		a, err := one.Bool(&condition.Vars{Profile: p})
		b, _ := other.Bool(&condition.Vars{Profile: sdk.RawView(p.AppendJSON(nil))})
		if again, _ := one.Bool(&condition.Vars{Profile: map[string]any{"id": p.ID}}); again != a || err != nil {
			t.Fatalf("%s is drawn %v and %v, %v", p.ID, a, again, err)
		}
		inOne, inOther, inBoth = inOne+bit(a), inOther+bit(b), inBoth+bit(a && b)
	}
	for what, n := range map[string][2]int{"one": {inOne, profiles * 3 / 10}, "other": {inOther, profiles * 3 / 10}, "both": {inBoth, profiles * 9 / 100}} {
		if got, want := n[0], n[1]; got < want*9/10 || got > want*11/10 {
			t.Errorf("%d of %d profiles are in %s, want about %d", got, profiles, what, want)
		}
	}
	p, err := condition.Compile(`bucket("colour", 1000)`, condition.ProfileScope)
	if err != nil {
		t.Fatal(err)
	}
	// As the page says that it is computed, for ever.
	if v, err := p.Value(&condition.Vars{Profile: map[string]any{"id": "0198f1c2-0000-7000-8000-000000000001"}}); v != int64(63) || err != nil {
		t.Errorf("the bucket is %v, %v, want 63", v, err)
	}
	if v, err := p.Value(&condition.Vars{}); v != nil || err != nil {
		t.Errorf("the bucket of nobody is %v, %v, want null", v, err)
	}
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

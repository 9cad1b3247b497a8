package enrich

import (
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
)

// facts are what an event says of itself that more can be told from. Texts that
// are longer than any real one count as not there.
type facts struct {
	agent, ip, languages string
	pageURL, search      string
	// came is where the page's visitor came from; known tells whether the page
	// said so, be it that they came from nowhere.
	came     string
	known    bool
	campaign sdk.View
	has      struct{ ip, device, os, app, utm, referrer, geo bool }
}

// The longest texts that are looked at, in bytes; a real one is shorter.
const (
	MaxAgent     = 512
	MaxLanguages = 256
	maxAddress   = 64
	maxURL       = 8 << 10
)

// read finds the facts: those of the context, which come first, and where they
// are wanted those of the properties of a page.
func read(event *record.Event, pages bool) (f facts) {
	for name, v := range sdk.RawView(event.Context).Members() {
		switch name {
		case "userAgent":
			f.agent = short(v, MaxAgent)
		case "ip":
			f.ip, f.has.ip = short(v, maxAddress), true
		case "languages":
			f.languages = short(v, MaxLanguages)
		case "page":
			f.page(v)
		case "campaign":
			f.campaign = v
		case "device":
			f.has.device = true
		case "os":
			f.has.os = true
		case "app":
			f.has.app = true
		case "utm":
			f.has.utm = true
		case "referrer":
			f.has.referrer = true
		case "geo":
			f.has.geo = true
		}
	}
	if pages && (f.pageURL == "" || !f.known) && mayCarryPage(event.Properties) {
		own := facts{}
		own.page(sdk.RawView(event.Properties))
		if f.pageURL == "" {
			f.pageURL = own.pageURL
		}
		if !f.known {
			f.came, f.known = own.came, own.known
		}
	}
	return f
}

// page reads what clients of several kinds say of a page.
func (f *facts) page(page sdk.View) {
	for name, v := range page.Members() {
		switch name {
		case "url":
			f.pageURL = short(v, maxURL)
		case "search":
			f.search = short(v, maxURL)
		case "referrer":
			if v.Raw()[0] == '"' {
				f.came, f.known = short(v, maxURL), true
			}
		}
	}
}

// short reads a text of at most limit bytes; empty where v is none.
func short(v sdk.View, limit int) string {
	if len(v.Raw()) > 6*limit+2 { // as many as escapes make of it at most
		return ""
	}
	s, ok := v.String("")
	if !ok || len(s) > limit {
		return ""
	}
	return s
}

package fold

import (
	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/core/internal/consent"
	"github.com/tributary-bus/tributary/sdk"
)

// screen takes out of the event what is not to be stored of it, before anything else
// has looked at it. The command keeps it whole: where it is forwarded, who it is about
// has the consents that count.
func (f *Fold) screen(resources []*config.Compliance) {
	s := consent.Screening{Event: &f.event, Vars: f.vars(), Now: f.event.Received, Hash: f.Hash}
	if f.live() {
		s.Consents = f.Doc.Profile.Consents
	}
	for _, err := range s.Apply(resources) {
		f.problem(err)
	}
}

// adoptConsents keeps what the event says of consents. What happened later counts,
// however the events come.
func (f *Fold) adoptConsents() {
	choices, problems := consent.Choices(&f.event, f.Rules.set)
	for _, err := range problems {
		f.problem(err)
	}
	for _, c := range choices {
		t, _ := f.Rules.set.ConsentType(c.ID)
		entry := consent.Entry(c, t, f.happened(), f.event.Source)
		path := sdk.Path{"consents", c.ID}
		f.problem(f.write(path, path.String(), config.OpSet, entry))
	}
}

package fold

import (
	"fmt"

	"github.com/tributary-bus/tributary/core/internal/profile"
	"github.com/tributary-bus/tributary/core/internal/record"
)

// applyBackfill enters what was found of a profile's stored events into windows that
// are new. Events that were processed since they are new are counted as they come;
// what was found are the others, so the two together are all, each once. It follows
// redirects like any command: the survivor of a merge has the events of both. Who was
// erased has none.
func (f *Fold) applyBackfill() {
	f.result.Applied = true
	f.result.Outcome = &record.Outcome{Status: record.StatusAccepted, Profile: f.Command.Profile, Valid: true}
	if !f.live() {
		return
	}
	growth := len(f.Command.Body)
	before, tight := f.guard(growth)
	if !profile.Fill(f.Doc, f.found, f.Rules.set.Kept(), f.Command.Received) {
		f.result.Outcome.Status = record.StatusDuplicate
		return
	}
	if tight {
		if size := len(f.Doc.AppendJSON(nil)); size > MaxDocument {
			f.restore(before)
			f.refuse(fmt.Sprintf("back-filling of profile %s: %s", f.Command.Profile, overLimit(size)[0].Message))
			return
		}
	}
	f.Doc.Profile.Revision++
	f.changed(growth)
	f.result.Outcome.Revision = f.Doc.Profile.Revision
}

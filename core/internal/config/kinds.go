package config

import (
	"maps"
	"slices"
)

// A kind says how the resources of one kind are read.
type kind struct {
	// badID says what is wrong with an id, or nothing.
	badID func(id string) string
	// compile reads all fields of the spec. It reports what is wrong to the
	// form; its result counts only where nothing was.
	compile func(f *form, id string) any
	// check reports what does not fit the other resources of the set.
	check func(c *checker, compiled any, s *Set)
}

// kinds are the kinds of this version. A new kind is a new file and a line here.
var kinds map[string]kind

func init() {
	kinds = map[string]kind{
		KindSource:         {sourceID, compileSource, checkSource},
		KindEventType:      {typeID, compileEventType, nil},
		KindIdentification: {identifierID, compileIdentification, nil},
		KindImport:         {plainID, compileImport, checkImport},
		KindFlow:           {plainID, compileFlow, checkFlow},
		KindRedirect:       {plainID, compileRedirect, checkRedirect},
		KindMergeRule:      {plainID, compileMergeRule, checkMergeRule},
		KindConsentType:    {plainID, compileConsentType, nil},
		KindCompliance:     {plainID, compileCompliance, checkCompliance},
	}
}

// The kinds of resource that this version runs.
const (
	KindSource         = "source"
	KindEventType      = "event-type"
	KindIdentification = "identification"
	KindImport         = "import"
	KindFlow           = "flow"
	KindRedirect       = "redirect"
	KindMergeRule      = "merge-rule"
	KindConsentType    = "consent-type"
	KindCompliance     = "compliance"
)

// laterKinds are names that mean something, but not to this version.
var laterKinds = []string{
	"bridge", "destination", "heartbeat", "plugin", "resource",
	"schedule", "segment", "token",
}

// Kinds lists the kinds of resource, sorted.
func Kinds() []string { return slices.Sorted(maps.Keys(kinds)) }

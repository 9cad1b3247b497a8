package record

// System events are what the product itself tells of a profile. They carry a
// source that no client has, by which they are told from events of the same type
// that somebody sent.

// SourceSystem is the source of system events.
const SourceSystem = "system"

// The types of system events.
const (
	// TypeProfileCreated has no properties.
	TypeProfileCreated = "profile-created"
	// TypeSessionOpened has the property "session", its id, as have those of visits.
	TypeSessionOpened = "session-opened"
	// TypeVisitStarted has the properties "visit", which of the session's visits it is,
	// from 1 on, and "reopened", whether the session had ended before.
	TypeVisitStarted = "visit-started"
	// TypeVisitEnded has the properties "visit", "started" and "ended", "duration", the
	// seconds from the visit's first event to its latest, and "events", how many it had.
	TypeVisitEnded = "visit-ended"
	// Both have the property "segment", its id.
	TypeSegmentEntered = "segment-entered"
	TypeSegmentLeft    = "segment-left"
	// TypeProfileMerged has the properties "from", the id of the profile that became
	// part of this one, and "trimmed", the parts of it that there was no room for.
	TypeProfileMerged = "profile-merged"
	// TypeProfileErased is about nobody; it has the properties "profile", the id that
	// was erased, and "by", who wanted it.
	TypeProfileErased = "profile-erased"
)

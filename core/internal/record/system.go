package record

// System events are what the product itself tells of a profile. They carry a
// source that no client has, by which they are told from events of the same type
// that somebody sent.

// SourceSystem is the source of system events.
const SourceSystem = "system"

// The types of system events. Both have the property "segment", its id.
const (
	TypeSegmentEntered = "segment-entered"
	TypeSegmentLeft    = "segment-left"
)

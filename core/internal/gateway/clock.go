package gateway

import "time"

// byServerClock is a time that a client's clock told, by the server's: the
// client's is off by as much as the time at which it says that it sent is from
// that of the arrival. It is the rule of every dialect that carries a sent time;
// the native form and Tracardi's have none, and their times stand as they are.
// Without either of the two the time stands, too; one that would leave the years 1
// to 9999 becomes the arrival.
func byServerClock(at, sent, received time.Time) time.Time {
	if at.IsZero() || sent.IsZero() {
		return at
	}
	// In milliseconds: a Duration ends after 292 years.
	at = time.UnixMilli(at.UnixMilli() + received.UnixMilli() - sent.UnixMilli()).UTC()
	if at.Year() < 1 || at.Year() > 9999 {
		return received
	}
	return at
}

// Package bus is the NATS JetStream that everything flows through: the embedded
// server or an external one, its streams and buckets, their subjects, and how
// durable what they acknowledge is. No other package builds a subject or names
// a stream.
package bus

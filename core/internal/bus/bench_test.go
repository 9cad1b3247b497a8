package bus

import (
	"fmt"
	"sync"
	"testing"
)

// BenchmarkAppend is one entry of 512 bytes a call.
func BenchmarkAppend(b *testing.B) {
	for _, durability := range []Durability{DurabilityFsync, DurabilityProcess} {
		for _, callers := range []int{1, 64, 500} {
			b.Run(fmt.Sprintf("%s/callers=%d", durability, callers), func(b *testing.B) {
				bus := open(b, Options{Durability: durability})
				text := make([]byte, 512)
				b.ResetTimer()
				var group sync.WaitGroup
				for c := range callers {
					group.Go(func() {
						for i := c; i < b.N; i += callers {
							if err := bus.Append(b.Context(), []Entry{{i % 16, text}}); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				group.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
			})
		}
	}
}

// BenchmarkPublishEvents is batches of 100 events of 512 bytes on 16
// partitions at once.
func BenchmarkPublishEvents(b *testing.B) {
	bus := open(b, Options{Durability: DurabilityProcess})
	text := make([]byte, 512)
	b.ResetTimer()
	var group sync.WaitGroup
	for p := range 16 {
		group.Go(func() {
			for i, c := 0, uint64(1); i < b.N/16+1; i, c = i+100, c+1 {
				list := make([]EventMessage, min(100, b.N/16+1-i))
				for n := range list {
					list[n] = EventMessage{Partition: p, C: c, N: n, Type: "order-completed", Data: text}
				}
				if err := bus.PublishEvents(b.Context(), list); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkPutDocuments is batches of 50 documents of 1 KB from 16 partitions
// at once, each document written again and again.
func BenchmarkPutDocuments(b *testing.B) {
	bus := open(b, Options{Durability: DurabilityProcess})
	text := make([]byte, 1024)
	b.ResetTimer()
	var group sync.WaitGroup
	for p := range 16 {
		group.Go(func() {
			revisions := make([]uint64, 50)
			for i := 0; i < b.N/16+1; i += 50 {
				puts := make([]DocumentPut, min(50, b.N/16+1-i))
				for n := range puts {
					puts[n] = DocumentPut{Profile: fmt.Sprint(p, "-", n), Data: text, Expect: revisions[n]}
				}
				results, err := bus.PutDocuments(b.Context(), puts)
				if err != nil {
					b.Error(err)
					return
				}
				for n, r := range results {
					revisions[n] = r.Revision
				}
			}
		})
	}
	group.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "documents/s")
}

// BenchmarkCommit is commits of 16 KB on 16 partitions at once.
func BenchmarkCommit(b *testing.B) {
	for _, durability := range []Durability{DurabilityFsync, DurabilityProcess} {
		b.Run(string(durability), func(b *testing.B) {
			bus := open(b, Options{Durability: durability, IngestMaxBytes: 16 << 30})
			text := make([]byte, 16<<10)
			b.ResetTimer()
			var group sync.WaitGroup
			for p := range 16 {
				group.Go(func() {
					var last uint64
					for range b.N/16 + 1 {
						seq, err := bus.Commit(b.Context(), p, text, last)
						if err != nil {
							b.Error(err)
							return
						}
						last = seq
					}
				})
			}
			group.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
		})
	}
}

// BenchmarkReadIngest reads messages of 512 bytes.
func BenchmarkReadIngest(b *testing.B) {
	bus := open(b, Options{Durability: DurabilityProcess, IngestMaxBytes: 16 << 30})
	text := make([]byte, 512)
	list := make([]*exchange, 0, 1000)
	for stored := 0; stored < b.N; stored += len(list) {
		list = list[:0]
		for range min(1000, b.N-stored) {
			list = append(list, &exchange{subject: subjectIngest(0), data: text})
		}
		bus.effects.do(b.Context(), publishTimeout, list)
	}
	r := must(bus.ReadIngest(b.Context(), 0, 0))
	defer r.Close()
	b.ResetTimer()
	for read := 0; read < b.N; {
		messages, err := r.Next(b.Context(), 1<<20)
		if err != nil {
			b.Fatal(err)
		}
		read += len(messages)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}

// BenchmarkGetIdentities asks for 100 keys at once.
func BenchmarkGetIdentities(b *testing.B) {
	bus := open(b, Options{Durability: DurabilityProcess})
	keys := make([]IdentityKey, 100)
	puts := make([]IdentityPut, len(keys))
	for i := range keys {
		keys[i] = bus.IdentityKey("user", fmt.Sprint(i))
		puts[i].Key = keys[i]
	}
	must(bus.PutIdentities(b.Context(), puts))
	b.ResetTimer()
	for i := 0; i < b.N; i += len(keys) {
		must(bus.GetIdentities(b.Context(), keys[:min(len(keys), b.N-i)]))
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "keys/s")
}

// BenchmarkAccepting is what every request pays.
func BenchmarkAccepting(b *testing.B) {
	bus := open(b, Options{})
	for b.Loop() {
		if err := bus.Accepting(); err != nil {
			b.Fatal(err)
		}
	}
}

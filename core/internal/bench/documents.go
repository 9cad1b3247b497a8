package bench

import (
	"fmt"
	"time"

	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/sdk"
)

const (
	// storedPeople and storedTypes are how many people and types the events of a filled
	// store are of.
	storedPeople = 50_000
	storedTypes  = 40
)

// storedFrom is when the first event of a filled store came; one follows each 37 ms, so
// that a million take half a day.
var storedFrom = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

// storedPerson is the id of a person by number.
func storedPerson(i int) string { return fmt.Sprintf("5b0c2f4e-0000-8000-8000-%012x", i%storedPeople) }

// storedEvent makes an event as a query store takes it, of about the size of those that
// are sent, by its number. People come in no order.
func storedEvent(i int) (store.Document, error) {
	at := storedFrom.Add(time.Duration(i) * 37 * time.Millisecond)
	e := sdk.Event{
		ID: fmt.Sprintf("0198f1c2-%04x-7%03x-8%03x-%012x", i>>12&0xffff, i%4096, i*7%4096, i), Type: fmt.Sprintf("type-%d", i%storedTypes),
		Source: "shop", Session: fmt.Sprintf("session-%d", i/10), Profile: storedPerson(i * 7919), Time: at, Received: at, Valid: true,
		Properties: sdk.NewObject(map[string]any{
			"total": float64(i%1000) + 0.5, "currency": "EUR", "sku": fmt.Sprintf("SKU-%d", i%977),
			"items": []any{
				map[string]any{"sku": "85123A", "name": "Heart t-light holder", "quantity": int64(i % 7), "price": 2.55},
				map[string]any{"sku": "71053", "name": "Metal lantern", "quantity": int64(i % 3), "price": 3.39},
			},
		}),
		Context: sdk.NewObject(map[string]any{"ip": "203.0.113.7", "page": map[string]any{"url": "https://shop.example/thanks", "title": "Thank you"}}),
	}
	return store.NewDocument(store.Events, e.AppendJSON(nil))
}

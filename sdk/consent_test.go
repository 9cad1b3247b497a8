package sdk_test

import (
	"testing"
	"time"

	"github.com/tributary-bus/tributary/sdk"
)

func TestGranted(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 500_000, time.UTC) // half a millisecond on
	for text, want := range map[string]bool{
		`{"granted":true}`:                                       true,
		`{"granted":true,"expires":null}`:                        true,
		`{"granted":true,"expires":"2026-03-01T12:00:00.001Z"}`:  true,
		`{"granted":true,"expires":"2026-03-01T12:00:00.000Z"}`:  false,
		`{"granted":true,"expires":"2026-03-01T13:00:00+02:00"}`: false,
		`{"granted":true,"expires":"2026-03-02"}`:                true,
		`{"granted":true,"expires":"never"}`:                     false,
		`{"granted":true,"expires":1893456000}`:                  false,
		`{"granted":false}`:                                      false,
		`{"granted":"true"}`:                                     false,
		`{"granted":1}`:                                          false,
		`{"revoke":null}`:                                        false,
		`{}`:                                                     false,
		`true`:                                                   false,
		`[true]`:                                                 false,
		`null`:                                                   false,
	} {
		document := sdk.RawView([]byte(`{"consents":{"a":` + text + `}}`))
		if got := sdk.Consented(document, "a", now); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
		consents, _ := document.Map("consents")
		p := sdk.Profile{Consents: consents}
		if got := p.Consented("a", now); got != want {
			t.Errorf("%s of a profile: %v, want %v", text, got, want)
		}
		if p.Consented("b", now) || sdk.Consented(document, "b", now) || sdk.Consented(sdk.View{}, "a", now) {
			t.Errorf("%s: what was not given counts", text)
		}
	}
}

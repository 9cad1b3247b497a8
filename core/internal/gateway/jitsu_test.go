package gateway

import "testing"

func TestJitsu(t *testing.T) {
	f := newFixture(t, nil)
	// What @jitsu/js sends: the key is masked in the body.
	event := `"type":"track","event":"Signed Up","userId":"u-1","anonymousId":"a-1","traits":null,"groupId":null,"properties":{"plan":"pro"},"timestamp":"2026-03-01T12:00:00.000Z","sentAt":"2026-03-01T12:00:00.000Z","writeKey":"shop-key:***","context":{"library":{"name":"@jitsu/js","version":"1.11.0","env":"node"}}`
	types := map[string]string{
		"/api/s/track": "signed-up", "/api/s/s2s/track": "signed-up", "/api/s/page": "page-view", "/api/s/s2s/identify": "identify",
		"/api/s/event": "signed-up", "/api/s/s2s/event": "signed-up",
	}
	for path := range types {
		a := f.send(t, "POST", path, `{"messageId":"`+path+`",`+event+`}`, "X-Write-Key", "shop-key:secret", "X-Enable-Debug", "true", "X-IP-Policy", "remove")
		if a.status != 200 || a.text != `{"success":true}` {
			t.Errorf("%s: %d %s", path, a.status, a.text)
		}
	}
	commands := f.commands(t)
	if len(commands) != len(types) {
		t.Errorf("%d events, want %d", len(commands), len(types))
	}
	for _, c := range commands {
		if e := c.Event; e.Type != types[e.ID] || e.Source != "shop" || list(e.IDs) != "user=u-1 anonymous=a-1" || string(e.Properties) != `{"plan":"pro"}` {
			t.Errorf("%s makes %+v", e.ID, e)
		}
	}
	if a := f.send(t, "POST", "/api/s/track", `{`+event+`}`); a.status != 401 {
		t.Errorf("a masked key alone: %d", a.status)
	}
}

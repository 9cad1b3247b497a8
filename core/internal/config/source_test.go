package config

import "testing"

func TestSourceAllowsOrigins(t *testing.T) {
	s := newSet(t, "kind: source\nid: x\nspec: {origins: ['https://shop.example', 'https://*.shop.example', 'http://*.local.example:8080']}\n")
	source, _ := s.Source("x")
	for origin, want := range map[string]bool{
		"https://shop.example": true, "https://www.shop.example": true, "https://a.b.shop.example": true, "HTTPS://WWW.Shop.example": true,
		"http://dev.local.example:8080": true,
		"https://evilshop.example":      false, "https://.shop.example": false, "https://shop.example.evil.example": false,
		"http://www.shop.example": false, "https://www.shop.example:8443": false, "https://evil.example/.shop.example": false,
		"https://evil.example#.shop.example": false, "https://a..shop.example": false, "https://user@www.shop.example": false,
		"http://dev.local.example": false, "http://local.example:8080": false, "null": false, "": false,
	} {
		if got := source.Allows(origin); got != want {
			t.Errorf("%q: %v", origin, got)
		}
	}
}

func TestSourceSendsTypes(t *testing.T) {
	s := newSet(t, "kind: source\nid: x\nspec: {types: [page-view, 'order-*']}\n---\nkind: source\nid: all\nspec: {types: ['*']}\n")
	some, _ := s.Source("x")
	all, _ := s.Source("all")
	for eventType, want := range map[string]bool{
		"page-view": true, "order-completed": true, "order-": true,
		"page-views": false, "order": false, "Order-completed": false, "order-*": true, "": false,
	} {
		if got := some.Sends(eventType); got != want {
			t.Errorf("%q: %v", eventType, got)
		}
		if !all.Sends(eventType) || !(&Source{}).Sends(eventType) {
			t.Errorf("%q is not sent where all are", eventType)
		}
	}
}

func TestTrustedProxies(t *testing.T) {
	for _, c := range []struct{ set, want string }{
		{"http.trusted_proxies=10.0.0.7,2001:db8::/32, 192.168.1.9/24", ""},
		{"http.trusted_proxies=", ""},
		{"http.trusted_proxies=10.0.0.0/33", `--set http.trusted_proxies: "10.0.0.0/33" is neither an address nor a network; want such as 10.0.0.7 or 10.0.0.0/8`},
		{"http.trusted_proxies=proxy.example", `--set http.trusted_proxies: "proxy.example" is neither an address nor a network; want such as 10.0.0.7 or 10.0.0.0/8`},
		{"http.trusted_proxies=::ffff:10.0.0.0/104", `--set http.trusted_proxies: "::ffff:10.0.0.0/104" is an IPv4 address written as IPv6; write it as IPv4`},
		{"http.forwarded_header=via", `--set http.forwarded_header: unknown value "via"; want one of x-forwarded-for, forwarded`},
	} {
		_, err := Load("", nil, []string{c.set})
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.set, got, c.want)
		}
	}
	standard := Default()
	networks, err := standard.HTTP.Proxies()
	if err != nil || len(networks) != 2 || networks[0].String() != "127.0.0.0/8" {
		t.Errorf("by default %v, %v", networks, err)
	}
}

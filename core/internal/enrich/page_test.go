package enrich

import (
	"slices"
	"strings"
	"testing"
)

func TestLanguages(t *testing.T) {
	for text, want := range map[string]string{
		"de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7": "de-DE de en-US en",
		"en;q=0.5, fr ;q=0.8, nb":             "nb fr en",
		"*":                                   "",
		"de,*;q=0.5":                          "de",
		"zh-Hant-TW;q=1.0,zh;q=0":             "zh-Hant-TW",
		"en;q=x,fr;q=2,es;q=-1,it;q=NaN":      "",
		"de,DE,de":                            "de",
		"x,toolongforalanguage,a_b,de-":       "",
		"":                                    "",
		strings.Repeat("aa,", 3) + "ab,ac,ad,ae,af,ag,ah,ai,aj,ak,al": "aa ab ac ad ae af ag ah ai aj",
	} {
		if got := strings.Join(Languages(text), " "); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestReferrers(t *testing.T) {
	for _, c := range []struct{ referrer, page, host, kind string }{
		{"https://www.google.com/", "https://shop.example/", "www.google.com", "search"},
		{"https://www.google.co.uk/search?q=x", "", "www.google.co.uk", "search"},
		{"https://mail.google.com/mail", "", "mail.google.com", "other"},
		{"https://duckduckgo.com/", "", "duckduckgo.com", "search"},
		{"https://de.search.yahoo.com/", "", "de.search.yahoo.com", "search"},
		{"android-app://com.google.android.googlequicksearchbox/", "", "com.google.android.googlequicksearchbox", "search"},
		{"https://l.facebook.com/l.php", "", "l.facebook.com", "social"},
		{"https://t.co/abc", "", "t.co", "social"},
		{"https://notfacebook.com/", "", "notfacebook.com", "other"},
		{"https://google.evil.example.org/", "", "google.evil.example.org", "other"},
		{"https://www.shop.example/a", "https://shop.example/b", "www.shop.example", "internal"},
		{"https://blog.shop.example/a", "https://www.shop.example/b", "blog.shop.example", "internal"},
		{"HTTPS://SHOP.example:8443/a", "https://shop.example/b", "shop.example", "internal"},
		{"https://evilshop.example/", "https://shop.example/", "evilshop.example", "other"},
		{"", "https://shop.example/", "", "direct"},
		{"javascript:alert(1)", "", "", "other"},
		{"not an address", "", "", "other"},
		{"/basket", "https://shop.example/", "", "other"},
	} {
		if host, kind := Referrer(c.referrer, c.page); host != c.host || kind != c.kind {
			t.Errorf("%s on %s: %q %q, want %q %q", c.referrer, c.page, host, kind, c.host, c.kind)
		}
	}
}

func FuzzPage(f *testing.F) {
	f.Add("https://shop.example/?utm_source=a&utm_medium=%zz", "https://t.co/", "de;q=1")
	f.Add("?utm_campaign=%ff", "android-app://x", "*")
	f.Fuzz(func(t *testing.T, page, referrer, languages string) {
		facts := facts{pageURL: page, came: referrer, known: true}
		for _, member := range [][]byte{facts.utm(), facts.referral()} {
			if len(member) > 0 {
				valid(t, "{"+string(member)+"}")
			}
		}
		valid(t, string(appendLanguages(nil, languages)))
		if list := Languages(languages); slices.Contains(list, "*") || len(list) > maxLanguages {
			t.Error(list)
		}
	})
}

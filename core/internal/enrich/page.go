package enrich

import (
	"net/url"
	"slices"
	"strings"
)

// The kinds of referrer.
const (
	ReferrerSearch   = "search"   // a search engine
	ReferrerSocial   = "social"   // a social network
	ReferrerInternal = "internal" // a page of the same site
	ReferrerDirect   = "direct"   // none: a typed address, a bookmark
	ReferrerOther    = "other"
)

// maxUTM is the longest parameter that is kept, in bytes.
const maxUTM = 256

// utm is the campaign that brought the visitor, as a member: what the client
// calls the campaign, and over it what the page's address says.
func (f *facts) utm() []byte {
	names := [...]string{"source", "medium", "campaign", "term", "content"}
	var values [len(names)]string
	if !f.campaign.IsNull() {
		for name, v := range f.campaign.Members() {
			if name == "name" {
				name = "campaign" // as Segment's clients call it
			}
			if i := slices.Index(names[:], name); i >= 0 {
				values[i] = short(v, maxUTM)
			}
		}
	}
	query := f.search
	if _, after, ok := strings.Cut(f.pageURL, "?"); ok && strings.Contains(after, "utm_") {
		query = after
	}
	query, _, _ = strings.Cut(strings.TrimPrefix(query, "?"), "#")
	for query != "" && strings.Contains(query, "utm_") {
		var parameter string
		parameter, query, _ = strings.Cut(query, "&")
		name, value, _ := strings.Cut(parameter, "=")
		i := slices.Index(names[:], strings.TrimPrefix(name, "utm_"))
		if !strings.HasPrefix(name, "utm_") || i < 0 {
			continue
		}
		if plain, err := url.QueryUnescape(value); err == nil && plain != "" && len(plain) <= maxUTM {
			values[i] = strings.ToValidUTF8(plain, "\uFFFD")
		}
	}
	return member("utm", pair{names[0], values[0]}, pair{names[1], values[1]}, pair{names[2], values[2]}, pair{names[3], values[3]}, pair{names[4], values[4]})
}

// referral is where the visitor came from, as a member. A page that says nothing
// of it has none; one that says that it has none is direct.
func (f *facts) referral() []byte {
	if !f.known {
		return nil
	}
	host, kind := Referrer(f.came, f.pageURL)
	return member("referrer", pair{"host", host}, pair{"kind", kind})
}

// Referrer tells the host of a referrer, in lower case, and which kind it is for
// a page. What is no address of the web is other, without a host.
func Referrer(referrer, page string) (host, kind string) {
	if referrer == "" {
		return "", ReferrerDirect
	}
	host = hostOf(referrer)
	switch own := hostOf(page); {
	case host == "":
		return "", ReferrerOther
	case own != "" && sameSite(host, own):
		return host, ReferrerInternal
	case isSearch(host):
		return host, ReferrerSearch
	case slices.ContainsFunc(social, func(site string) bool { return below(host, site) }):
		return host, ReferrerSocial
	}
	return host, ReferrerOther
}

// hostOf returns an address's host in lower case; empty where it has none.
func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil || len(u.Hostname()) > 253 {
		return ""
	}
	if u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "android-app" {
		return ""
	}
	return strings.ToLower(u.Hostname())
}

// sameSite tells whether two hosts are one, or one is below the other.
func sameSite(a, b string) bool {
	a, b = strings.TrimPrefix(a, "www."), strings.TrimPrefix(b, "www.")
	return below(a, b) || below(b, a)
}

// below tells whether a host is a site or below it.
func below(host, site string) bool {
	return host == site || len(host) > len(site) && strings.HasSuffix(host, site) && host[len(host)-len(site)-1] == '.'
}

// isSearch knows search engines; the greatest have a host for each country.
func isSearch(host string) bool {
	plain := strings.TrimPrefix(host, "www.")
	for _, engine := range [...]string{"google.", "yandex.", "ecosia.", "qwant.", "baidu.", "bing.", "duckduckgo.", "startpage.", "seznam.", "kagi."} {
		if rest, ok := strings.CutPrefix(plain, engine); ok && len(rest) <= len("com.br") {
			return true
		}
	}
	return slices.ContainsFunc(search, func(site string) bool { return below(host, site) })
}

var search = []string{
	"search.yahoo.com", "search.yahoo.co.jp", "search.brave.com", "search.naver.com", "search.aol.com", "lite.duckduckgo.com", "cn.bing.com",
	"m.baidu.com", "so.com", "sogou.com", "ask.com", "search.marginalia.nu", "mojeek.com", "com.google.android.googlequicksearchbox",
}

var social = []string{
	"facebook.com", "fb.com", "fb.me", "instagram.com", "threads.net", "threads.com", "t.co", "twitter.com", "x.com", "linkedin.com", "lnkd.in",
	"reddit.com", "redd.it", "pinterest.com", "pin.it", "youtube.com", "youtu.be", "tiktok.com", "snapchat.com", "vk.com", "ok.ru", "weibo.com",
	"t.me", "telegram.org", "web.telegram.org", "whatsapp.com", "wa.me", "bsky.app", "mastodon.social", "tumblr.com", "discord.com", "quora.com",
	"xing.com", "news.ycombinator.com", "com.linkedin.android", "com.facebook.katana", "com.twitter.android", "com.reddit.frontpage",
}

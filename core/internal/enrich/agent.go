package enrich

import (
	"strings"
	"unicode"

	"github.com/mileusna/useragent"

	"github.com/tributary-bus/tributary/sdk"
)

// An Agent is what a user agent says of who sends: on what device and system,
// and by which program. What it does not say is empty.
type Agent struct {
	DeviceType, Brand, Model string // the type is one of the Type constants
	OS, OSVersion            string
	App, AppVersion          string
	Bot                      bool
}

// The types of device.
const (
	TypeDesktop = "desktop"
	TypeMobile  = "mobile"
	TypeTablet  = "tablet"
	TypeTV      = "tv"
	TypeConsole = "console"
)

// ParseAgent reads a user agent, of which it takes the first [MaxAgent] bytes, and
// nothing from a control character on: no program sends one.
func ParseAgent(text string) Agent {
	text = text[:min(len(text), MaxAgent)]
	if i := strings.IndexFunc(text, unicode.IsControl); i >= 0 {
		text = text[:i]
	}
	ua := useragent.Parse(text)
	a := Agent{OS: ua.OS, OSVersion: ua.OSVersion, App: ua.Name, AppVersion: ua.Version, Bot: ua.Bot || IsBot(text)}
	switch {
	case ua.Tablet:
		a.DeviceType = TypeTablet
	case ua.Mobile:
		a.DeviceType = TypeMobile
	case ua.Desktop:
		a.DeviceType = TypeDesktop
	}
	if a.OS == useragent.Linux || a.OS == useragent.ChromeOS {
		a.OSVersion = "" // the library takes the processor for it
	}
	a.Brand, a.Model = brand(ua.Device)
	a.correct(text)
	return a
}

// correct mends what the library does not know.
func (a *Agent) correct(text string) {
	switch {
	case a.OS == useragent.Android && a.DeviceType == TypeMobile && strings.HasPrefix(text, "Mozilla/") && !strings.Contains(text, "Mobile"):
		a.DeviceType = TypeTablet // browsers say Mobile on phones, and only there
	case strings.Contains(text, "CFNetwork/") && a.OS == "":
		a.OS = useragent.IOS // programs on an iPhone say no more than that
	}
	if strings.Contains(text, "Trident/") {
		a.App, a.AppVersion = useragent.InternetExplorer, version(text, "rv:")
	}
	if v := version(text, "Silk/"); v != "" {
		a.App, a.AppVersion = "Amazon Silk", v
	}
	for _, d := range devices {
		if strings.Contains(text, d.sign) {
			a.DeviceType, a.Brand, a.Model = d.kind, d.brand, d.model
			if d.os != "" {
				a.OS, a.OSVersion = d.os, version(text, d.os+" ")
			}
			break
		}
	}
}

// devices are those that are known by a word in their user agents.
var devices = []struct{ sign, kind, brand, model, os string }{
	{"PlayStation 5", TypeConsole, "Sony", "PlayStation 5", ""},
	{"PlayStation 4", TypeConsole, "Sony", "PlayStation 4", ""},
	{"Nintendo Switch", TypeConsole, "Nintendo", "Switch", ""},
	{"Xbox", TypeConsole, "Microsoft", "Xbox", ""},
	{"SMART-TV; Linux; Tizen", TypeTV, "Samsung", "", "Tizen"},
	{"Web0S", TypeTV, "LG", "", "webOS"},
	{"AppleTV", TypeTV, "Apple", "Apple TV", ""},
	{"BRAVIA", TypeTV, "Sony", "Bravia", ""},
	{"AFTT", TypeTV, "Amazon", "Fire TV", ""},
	{"CrKey", TypeTV, "Google", "Chromecast", ""},
	{"SmartTV", TypeTV, "", "", ""},
	{"Macintosh", TypeDesktop, "Apple", "Mac", ""},
}

// brands tell a device's maker by how the names of its models begin.
var brands = []struct{ prefix, brand string }{
	{"iPhone", "Apple"}, {"iPad", "Apple"}, {"iPod", "Apple"},
	{"SAMSUNG ", "Samsung"}, {"SM-", "Samsung"}, {"GT-", "Samsung"}, {"Galaxy", "Samsung"},
	{"Pixel", "Google"}, {"Nexus", "Google"},
	{"Xiaomi ", "Xiaomi"}, {"Redmi", "Xiaomi"}, {"Mi ", "Xiaomi"}, {"MI ", "Xiaomi"}, {"POCO", "Xiaomi"},
	{"HUAWEI ", "Huawei"}, {"Huawei", "Huawei"}, {"ELE-", "Huawei"}, {"VOG-", "Huawei"}, {"ANE-", "Huawei"}, {"LYA-", "Huawei"},
	{"HONOR ", "Honor"}, {"ONEPLUS ", "OnePlus"}, {"OnePlus", "OnePlus"}, {"KB2", "OnePlus"}, {"LE21", "OnePlus"},
	{"CPH", "Oppo"}, {"OPPO ", "Oppo"}, {"RMX", "Realme"}, {"vivo ", "Vivo"}, {"V2", "Vivo"},
	{"moto ", "Motorola"}, {"Moto ", "Motorola"}, {"motorola ", "Motorola"}, {"XT", "Motorola"},
	{"Nokia", "Nokia"}, {"LG-", "LG"}, {"LM-", "LG"}, {"XQ-", "Sony"}, {"SO-", "Sony"},
	{"KF", "Amazon"}, {"Lenovo", "Lenovo"}, {"TB-", "Lenovo"}, {"ASUS", "Asus"}, {"FP", "Fairphone"}, {"Nothing ", "Nothing"}, {"A063", "Nothing"},
}

// brand tells the maker of a model. K is what browsers say that hide it.
func brand(model string) (maker, name string) {
	model = strings.TrimSpace(model)
	if model == "K" {
		return "", ""
	}
	for _, b := range brands {
		if strings.HasPrefix(model, b.prefix) {
			if strings.HasSuffix(b.prefix, " ") && strings.EqualFold(strings.TrimSpace(b.prefix), b.brand) {
				model = strings.TrimPrefix(model, b.prefix) // the maker's name itself
			}
			return b.brand, model
		}
	}
	return "", model
}

// bots are words by which robots name themselves, in lower case.
var bots = []string{
	"bot/", "bot;", "bot)", "bot-", "bot ", "robot", "crawl", "spider", "slurp", "headless", "phantomjs", "lighthouse",
	"externalhit", "facebookcatalog", "mediapartners", "preview", "scrapy", "archiver", "pingdom", "monitor", "feedfetcher", "google-read-aloud",
}

// IsBot tells whether a user agent names a robot: a crawler, a monitor, a
// browser without a person before it. It costs about a microsecond.
func IsBot(text string) bool {
	text = strings.ToLower(text[:min(len(text), MaxAgent)])
	text = strings.ReplaceAll(text, "cubot", "") // a maker of phones
	for _, word := range bots {
		if strings.Contains(text, word) {
			return true
		}
	}
	return strings.HasSuffix(text, "bot")
}

// version returns the digits and dots that stand behind a sign.
func version(text, sign string) string {
	_, after, _ := strings.Cut(text, sign)
	end := strings.IndexFunc(after, func(r rune) bool { return r != '.' && (r < '0' || r > '9') })
	if end < 0 {
		return after
	}
	return after[:end]
}

// text returns the members that the agent makes in a context.
func (a Agent) text() (t agentText) {
	if a.DeviceType != "" || a.Model != "" {
		t.device = member("device", pair{"type", a.DeviceType}, pair{"brand", a.Brand}, pair{"model", a.Model})
	}
	t.os = member("os", pair{"name", a.OS}, pair{"version", a.OSVersion})
	if t.app = member("app", pair{"name", a.App}, pair{"version", a.AppVersion}); t.app == nil && a.Bot {
		t.app = []byte(`"app":{}`)
	}
	if n := len(t.app); n > 0 {
		end := `,"bot":false}`
		if a.Bot {
			end = `,"bot":true}`
		}
		if t.app[n-2] == '{' {
			end = end[1:]
		}
		t.app = append(t.app[:n-1], end...)
	}
	return t
}

type pair struct{ name, value string }

// member writes a member that is an object of texts, without those that are
// empty; nil where all are.
func member(name string, pairs ...pair) []byte {
	var dst []byte
	for _, p := range pairs {
		if p.value == "" {
			continue
		}
		if dst == nil {
			dst = append(sdk.AppendString(nil, name), ":{"...)
		} else {
			dst = append(dst, ',')
		}
		dst = sdk.AppendString(dst, p.name)
		dst = append(dst, ':')
		dst = sdk.AppendString(dst, p.value)
	}
	if dst == nil {
		return nil
	}
	return append(dst, '}')
}

// Personal tells whether a user agent is that of a browser, an app or a robot,
// and so the request's address and languages those of who is meant. It is not
// for programs that send on behalf of others, such as curl or an SDK on a server.
func Personal(text string) bool {
	for _, prefix := range [...]string{"Mozilla/", "Opera/", "Dalvik/", "okhttp/", "Dart/"} {
		if strings.HasPrefix(text, prefix) {
			return true
		}
	}
	return strings.Contains(text, "CFNetwork/") || text != "" && IsBot(text)
}

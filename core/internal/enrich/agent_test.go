package enrich

import (
	"strings"
	"testing"
)

// agents are user agents as browsers, programs and robots send them.
var agents = []struct {
	text string
	want Agent
}{
	{"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",
		Agent{DeviceType: "desktop", OS: "Windows", OSVersion: "10.0", App: "Chrome", AppVersion: "120.0.0.0"}},
	{"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36 Edg/120.0.2210.91",
		Agent{DeviceType: "desktop", OS: "Windows", OSVersion: "10.0", App: "Edge", AppVersion: "120.0.2210.91"}},
	{"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/118.0.0.0 Safari/537.36 OPR/104.0.0.0",
		Agent{DeviceType: "desktop", OS: "Windows", OSVersion: "10.0", App: "Opera", AppVersion: "104.0.0.0"}},
	{"Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; rv:11.0) like Gecko",
		Agent{DeviceType: "desktop", OS: "Windows", OSVersion: "10.0", App: "Internet Explorer", AppVersion: "11.0"}},
	{"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.2 Safari/605.1.15",
		Agent{DeviceType: "desktop", Brand: "Apple", Model: "Mac", OS: "macOS", OSVersion: "10.15.7", App: "Safari", AppVersion: "17.2"}},
	{"Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:121.0) Gecko/20100101 Firefox/121.0",
		Agent{DeviceType: "desktop", Brand: "Apple", Model: "Mac", OS: "macOS", OSVersion: "10.15", App: "Firefox", AppVersion: "121.0"}},
	{"Mozilla/5.0 (X11; Linux x86_64; rv:121.0) Gecko/20100101 Firefox/121.0",
		Agent{DeviceType: "desktop", OS: "Linux", App: "Firefox", AppVersion: "121.0"}},
	{"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/119.0.0.0 Safari/537.36",
		Agent{DeviceType: "desktop", OS: "ChromeOS", App: "Chrome", AppVersion: "119.0.0.0"}},
	{"Mozilla/5.0 (iPhone; CPU iPhone OS 17_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.2 Mobile/15E148 Safari/604.1",
		Agent{DeviceType: "mobile", Brand: "Apple", Model: "iPhone", OS: "iOS", OSVersion: "17.2", App: "Safari", AppVersion: "17.2"}},
	{"Mozilla/5.0 (iPhone; CPU iPhone OS 17_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/120.0.6099.119 Mobile/15E148 Safari/604.1",
		Agent{DeviceType: "mobile", Brand: "Apple", Model: "iPhone", OS: "iOS", OSVersion: "17.2", App: "Chrome", AppVersion: "120.0.6099.119"}},
	{"Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/16.6 Mobile/15E148 Safari/604.1",
		Agent{DeviceType: "tablet", Brand: "Apple", Model: "iPad", OS: "iOS", OSVersion: "16.6", App: "Safari", AppVersion: "16.6"}},
	{"Mozilla/5.0 (iPhone; CPU iPhone OS 16_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 Instagram 289.0.0.18.109 (iPhone14,5; iOS 16_5; en_US; en-US; scale=3.00; 1170x2532; 489720145)",
		Agent{DeviceType: "mobile", Brand: "Apple", Model: "iPhone", OS: "iOS", OSVersion: "16.5", App: "Instagram App", AppVersion: "289.0.0.18.109"}},
	{"Mozilla/5.0 (Linux; Android 13; SM-S918B) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/116.0.0.0 Mobile Safari/537.36",
		Agent{DeviceType: "mobile", Brand: "Samsung", Model: "SM-S918B", OS: "Android", OSVersion: "13", App: "Chrome", AppVersion: "116.0.0.0"}},
	{"Mozilla/5.0 (Linux; Android 13; SAMSUNG SM-A536B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/23.0 Chrome/115.0.0.0 Mobile Safari/537.36",
		Agent{DeviceType: "mobile", Brand: "Samsung", Model: "SM-A536B", OS: "Android", OSVersion: "13", App: "Samsung Browser", AppVersion: "23.0"}},
	{"Mozilla/5.0 (Linux; Android 14; Pixel 8 Pro) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Mobile Safari/537.36",
		Agent{DeviceType: "mobile", Brand: "Google", Model: "Pixel 8 Pro", OS: "Android", OSVersion: "14", App: "Chrome", AppVersion: "120.0.0.0"}},
	{"Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Mobile Safari/537.36",
		Agent{DeviceType: "mobile", OS: "Android", OSVersion: "10", App: "Chrome", AppVersion: "120.0.0.0"}},
	{"Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",
		Agent{DeviceType: "tablet", OS: "Android", OSVersion: "10", App: "Chrome", AppVersion: "120.0.0.0"}},
	{"Mozilla/5.0 (Linux; Android 11; Redmi Note 8 Pro) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/119.0.0.0 Mobile Safari/537.36",
		Agent{DeviceType: "mobile", Brand: "Xiaomi", Model: "Redmi Note 8 Pro", OS: "Android", OSVersion: "11", App: "Chrome", AppVersion: "119.0.0.0"}},
	{"Mozilla/5.0 (Linux; Android 9; KFMAWI) AppleWebKit/537.36 (KHTML, like Gecko) Silk/108.4.6 like Chrome/108.0.5359.160 Safari/537.36",
		Agent{DeviceType: "tablet", Brand: "Amazon", Model: "KFMAWI", OS: "Android", OSVersion: "9", App: "Amazon Silk", AppVersion: "108.4.6"}},
	{"Mozilla/5.0 (Android 14; Mobile; rv:121.0) Gecko/121.0 Firefox/121.0",
		Agent{DeviceType: "mobile", OS: "Android", OSVersion: "14", App: "Firefox", AppVersion: "121.0"}},
	{"Dalvik/2.1.0 (Linux; U; Android 13; Pixel 6 Build/TQ3A.230805.001)",
		Agent{DeviceType: "mobile", Brand: "Google", Model: "Pixel 6", OS: "Android", OSVersion: "13", App: "Dalvik", AppVersion: "2.1.0"}},
	{"Shop/4.1 CFNetwork/1410.0.3 Darwin/22.6.0", Agent{OS: "iOS", App: "Shop", AppVersion: "4.1"}},
	{"okhttp/4.12.0", Agent{App: "okhttp", AppVersion: "4.12.0"}},
	{"Mozilla/5.0 (SMART-TV; Linux; Tizen 6.0) AppleWebKit/538.1 (KHTML, like Gecko) Version/6.0 TV Safari/538.1",
		Agent{DeviceType: "tv", Brand: "Samsung", OS: "Tizen", OSVersion: "6.0", App: "TV Safari", AppVersion: "538.1"}},
	{"Mozilla/5.0 (PlayStation; PlayStation 5/5.10) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/13.0 Safari/605.1.15",
		Agent{DeviceType: "console", Brand: "Sony", Model: "PlayStation 5", App: "Safari", AppVersion: "13.0"}},

	{"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", Agent{App: "Googlebot", AppVersion: "2.1", Bot: true}},
	{"Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X Build/MMB29P) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.6099.109 Mobile Safari/537.36 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
		Agent{DeviceType: "mobile", Brand: "Google", Model: "Nexus 5X", OS: "Android", OSVersion: "6.0.1", App: "Googlebot", AppVersion: "2.1", Bot: true}},
	{"Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)", Agent{App: "Bingbot", AppVersion: "2.0", Bot: true}},
	{"Mozilla/5.0 (compatible; Yahoo! Slurp; http://help.yahoo.com/help/us/ysearch/slurp)", Agent{App: "Yahoo! Slurp", Bot: true}},
	{"Mozilla/5.0 (compatible; Baiduspider/2.0; +http://www.baidu.com/search/spider.html)", Agent{App: "Baiduspider", AppVersion: "2.0", Bot: true}},
	{"Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.0; +https://openai.com/gptbot)", Agent{App: "GPTBot", AppVersion: "1.0", Bot: true}},
	{"facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)", Agent{App: "facebookexternalhit", AppVersion: "1.1", Bot: true}},
	{"Twitterbot/1.0", Agent{App: "Twitterbot", AppVersion: "1.0", Bot: true}},
	{"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/119.0.0.0 Safari/537.36",
		Agent{DeviceType: "desktop", OS: "Linux", App: "Headless Chrome", AppVersion: "119.0.0.0", Bot: true}},
	{"", Agent{}},
}

func TestAgents(t *testing.T) {
	for _, c := range agents {
		if got := ParseAgent(c.text); got != c.want {
			t.Errorf("%s\n got %+v\nwant %+v", c.text, got, c.want)
		}
		if IsBot(c.text) != c.want.Bot {
			t.Errorf("IsBot(%q) is %v", c.text, !c.want.Bot)
		}
	}
	// People, however much their phone sounds like a robot.
	for _, text := range []string{
		"Mozilla/5.0 (Linux; Android 9; CUBOT_X19) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/90.0.4430.210 Mobile Safari/537.36",
		"Mozilla/5.0 (Linux; Android 8.1.0; CUBOT POWER) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/88.0.4324.93 Mobile Safari/537.36",
	} {
		if IsBot(text) || ParseAgent(text).Bot {
			t.Errorf("%s is taken for a robot", text)
		}
	}
}

func TestDevicesRead(t *testing.T) {
	for _, c := range []struct{ sent, personal string }{
		{"Mozilla/5.0 (X11; Linux x86_64; rv:121.0) Gecko/20100101 Firefox/121.0", "yes"}, {"Shop/4.1 CFNetwork/1410.0.3 Darwin/22.6.0", "yes"},
		{"okhttp/4.12.0", "yes"}, {"Dalvik/2.1.0 (Linux; U; Android 13; Pixel 6 Build/TQ3A)", "yes"}, {"Twitterbot/1.0", "yes"},
		{"curl/8.5.0", ""}, {"Go-http-client/1.1", ""}, {"python-requests/2.31.0", ""}, {"axios/1.6.2", ""}, {"analytics-go (version: 3.0.0)", ""}, {"", ""},
	} {
		if Personal(c.sent) != (c.personal != "") {
			t.Errorf("%q is personal: %v", c.sent, c.personal == "")
		}
	}
}

func FuzzAgent(f *testing.F) {
	for _, c := range agents {
		f.Add(c.text)
	}
	f.Add("ffffeWebKit/" + strings.Repeat("\x1d", MaxAgent))
	f.Fuzz(func(t *testing.T, text string) {
		said := ParseAgent(text).text()
		for _, member := range [][]byte{said.device, said.os, said.app} {
			if len(member) > 4*MaxAgent+128 {
				t.Errorf("%q makes %d bytes", text, len(member))
			}
			if len(member) > 0 {
				valid(t, "{"+string(member)+"}")
			}
		}
	})
}

func TestLongAgentIsCut(t *testing.T) {
	long := "Mozilla/5.0 (" + strings.Repeat("x", 1<<16) + ") Googlebot/2.1"
	if a := ParseAgent(long); a.Bot || len(a.text().app) > 2*MaxAgent {
		t.Errorf("%+v", a)
	}
}

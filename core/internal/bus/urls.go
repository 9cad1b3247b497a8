package bus

import (
	"fmt"
	"net/url"
	"strings"
)

// serverURLs are the URLs of servers, one each and with a scheme, as the client
// reads what is written: several in a text, and without the scheme of NATS. The
// error does not repeat what may hold a password.
func serverURLs(texts []string) ([]string, error) {
	var list []string
	for i, text := range texts {
		for server := range strings.SplitSeq(text, ",") {
			if server = strings.TrimSpace(server); !strings.Contains(server, "://") {
				server = "nats://" + server
			}
			u, err := url.Parse(server)
			if err != nil || u.Host == "" {
				return nil, fmt.Errorf("bus.urls: the %s is no URL of a server; want one such as nats://nats.example:4222", ordinal(i))
			}
			list = append(list, u.String())
		}
	}
	return list, nil
}

func ordinal(i int) string {
	names := [...]string{"first", "second", "third"}
	if i < len(names) {
		return names[i] + " of them"
	}
	return fmt.Sprintf("%dth of them", i+1)
}

// withoutUsers are URLs of servers without users and their passwords: for logs,
// and for a process that has a user of its own.
func withoutUsers(servers []string) []string {
	list := make([]string, 0, len(servers))
	for _, server := range servers {
		// serverURLs has read it.
		if u, err := url.Parse(server); err == nil {
			u.User = nil
			list = append(list, u.String())
		}
	}
	return list
}

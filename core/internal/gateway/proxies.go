package gateway

import (
	"net/http"
	"net/netip"
	"strings"
)

// Proxies are the proxies before this server, which say for whom they ask.
type Proxies struct {
	// Networks are where they are; only who asks from there is believed.
	Networks []netip.Prefix
	// Header is the one in which they say it: Forwarded (RFC 7239), or with an
	// empty text X-Forwarded-For. The other one is never read, since a proxy that
	// does not write it hands on what a client wrote.
	Header string
}

// maxForwards is how many proxies in a row are looked through.
const maxForwards = 32

// client is the address of who sends: the nearest one that is no trusted proxy,
// seen from here. What stands before it anybody could have written. It is the zero
// Addr where a trusted proxy does not know, or nothing can be read.
func (p *Proxies) client(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	address := plainAddress(peer.Addr())
	if !p.trusts(address) {
		return address
	}
	header, read := "X-Forwarded-For", hopAddress
	if p.standard() {
		header, read = "Forwarded", forwardedAddress
	}
	lines := r.Header.Values(header)
	left := maxForwards
	for i := len(lines) - 1; i >= 0; i-- {
		for rest, more := lines[i], true; more; left-- {
			var hop string
			if rest, hop, more = lastHop(rest); left == 0 {
				return netip.Addr{}
			}
			next, ok := read(hop)
			if !ok {
				return netip.Addr{}
			}
			if address = next; !p.trusts(address) {
				return address
			}
		}
	}
	return address
}

// standard tells whether the proxies write Forwarded.
func (p *Proxies) standard() bool { return http.CanonicalHeaderKey(p.Header) == "Forwarded" }

// askedFor is how the client named this server, its host and https or http: as a
// trusted proxy says in its header, or else as the request that came here does.
// Of several proxies the first one, next to the client, counts. It is for nothing
// but the answer to this client, who may have written it where a proxy hands on
// what it gets.
func (p *Proxies) askedFor(r *http.Request) (host, scheme string) {
	host, scheme = r.Host, "http"
	if r.TLS != nil {
		scheme = "https"
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !p.trusts(plainAddress(peer.Addr())) {
		return host, scheme
	}
	toldHost, toldScheme := firstOf(r.Header.Get("X-Forwarded-Host")), firstOf(r.Header.Get("X-Forwarded-Proto"))
	if p.standard() {
		first := firstOf(r.Header.Get("Forwarded"))
		toldHost, _ = forwardedValue(first, "host")
		toldScheme, _ = forwardedValue(first, "proto")
	}
	if toldHost != "" {
		host = toldHost
	}
	if toldScheme = strings.ToLower(toldScheme); toldScheme == "https" || toldScheme == "http" {
		scheme = toldScheme
	}
	return host, scheme
}

func firstOf(list string) string {
	first, _, _ := strings.Cut(list, ",")
	return strings.TrimSpace(first)
}

func (p *Proxies) trusts(address netip.Addr) bool {
	for _, network := range p.Networks {
		if network.Contains(address) {
			return true
		}
	}
	return false
}

// lastHop cuts the last element off a list. Commas within quotes do not occur in
// what is read here: such an element is no address.
func lastHop(list string) (rest, hop string, more bool) {
	at := strings.LastIndexByte(list, ',')
	if at < 0 {
		return "", strings.TrimSpace(list), false
	}
	return list[:at], strings.TrimSpace(list[at+1:]), true
}

// forwardedAddress reads for=… of an element of Forwarded.
func forwardedAddress(element string) (netip.Addr, bool) {
	value, ok := forwardedValue(element, "for")
	if !ok {
		return netip.Addr{}, false
	}
	return hopAddress(value)
}

// forwardedValue reads the value of a name in an element of Forwarded; false where
// there is none, or a quote is left open.
func forwardedValue(element, name string) (string, bool) {
	for pair := range strings.SplitSeq(element, ";") {
		other, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
		if !strings.EqualFold(other, name) {
			continue
		}
		quoted, ok := strings.CutPrefix(value, `"`)
		if !ok {
			return value, true
		}
		if value, ok = strings.CutSuffix(quoted, `"`); ok {
			return value, true
		}
		break
	}
	return "", false
}

// hopAddress reads an address with or without a port, an IPv6 one in brackets or
// not.
func hopAddress(text string) (netip.Addr, bool) {
	if hop, err := netip.ParseAddrPort(text); err == nil {
		return plainAddress(hop.Addr()), true
	}
	if inner, ok := strings.CutPrefix(text, "["); ok {
		if text, ok = strings.CutSuffix(inner, "]"); !ok {
			return netip.Addr{}, false
		}
	}
	address, err := netip.ParseAddr(text)
	return plainAddress(address), err == nil
}

// plainAddress is an address without its zone, and an IPv4 one as such.
func plainAddress(address netip.Addr) netip.Addr { return address.Unmap().WithZone("") }

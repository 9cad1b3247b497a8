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
	if http.CanonicalHeaderKey(p.Header) == "Forwarded" {
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
	for pair := range strings.SplitSeq(element, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
		if !strings.EqualFold(name, "for") {
			continue
		}
		if quoted, ok := strings.CutPrefix(value, `"`); ok {
			if value, ok = strings.CutSuffix(quoted, `"`); !ok {
				return netip.Addr{}, false
			}
		}
		return hopAddress(value)
	}
	return netip.Addr{}, false
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

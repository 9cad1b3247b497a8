package bench

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// writeKey is that of the source that a fresh data directory has.
const writeKey = "dev"

// users is how many different people the events are about, unless said
// otherwise.
const users = 10_000

// eventForm is one order of a web shop, about 400 bytes. Its marks are patched
// in place, so that every event has an id of its own.
const eventForm = `{"id":"` + idMark + `","type":"order-completed","time":"%s",` +
	`"ids":{"user":"` + userMark + `","email":"` + userMark + `@mail.example"},` +
	`"properties":{"total":139.12,"currency":"GBP","country":"United Kingdom","items":[` +
	`{"sku":"85123A","name":"Heart t-light holder","quantity":6,"price":2.55},` +
	`{"sku":"71053","name":"Metal lantern","quantity":6,"price":3.39}]},` +
	`"context":{"page":` + plainPage + `}}`

// What a page in a browser tells beside the event: where it stands, where its
// visitor came from and, in the headers, who sends, behind a proxy on this machine.
// The product adds to events what these tell.
const (
	plainPage   = `{"url":"https://shop.example/thanks"}`
	browserPage = `{"url":"https://shop.example/thanks?utm_source=news&utm_campaign=spring","referrer":"https://www.google.com/"}`

	browserHeaders = "User-Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36\r\n" +
		"Accept: */*\r\nAccept-Language: de-DE,de;q=0.9,en;q=0.8\r\nReferer: https://shop.example/\r\nX-Forwarded-For: 203.0.113.7\r\n"
)

// browsed makes what a browser sends of events.
func browsed(text string) string { return strings.ReplaceAll(text, plainPage, browserPage) }

const (
	idMark   = "id______________"
	userMark = "user_"
)

// A payload is a text that holds events and is sent over and over, each time
// about other people and under other ids.
type payload struct {
	text   []byte
	events []place
	user   int
	users  int
}

// A place is where an event's marks begin.
type place struct {
	id     int
	people []int
}

// userStride is from one event's user to that of the next. It is a prime, so
// that all users have their turn before the first one has its second.
const userStride = 7919

// newPayload finds the marks in a text. Its events are numbered within the
// block, see [perBlock], and are about so many users.
func newPayload(text string, block uint64, users int) *payload {
	p := &payload{text: []byte(text), users: users, user: int(block*1009) % users}
	for at := 0; at < len(text); {
		rest := text[at:]
		id, user := strings.Index(rest, idMark), strings.Index(rest, userMark)
		switch {
		case id >= 0 && (user < 0 || id < user):
			p.events = append(p.events, place{id: at + id})
			at += id + len(idMark)
		case user >= 0:
			e := &p.events[len(p.events)-1]
			e.people = append(e.people, at+user)
			at += user + len(userMark)
		default:
			at = len(text)
		}
	}
	for i, e := range p.events {
		first := block*perBlock + uint64(i)*(perBlock/uint64(len(p.events)))
		putDigits(p.text[e.id:e.id+len(idMark)], first)
	}
	return p
}

// perBlock is how many ids a block has. A payload divides those of its block
// among its events, so that the next id is one more, which costs nearly
// nothing to write.
const perBlock = 10_000_000_000

// next makes the payload's events new ones and returns its text, which is
// valid until the following call.
func (p *payload) next() []byte {
	for _, e := range p.events {
		addOne(p.text[e.id : e.id+len(idMark)])
		p.user = (p.user + userStride) % p.users
		for i, at := range e.people {
			to := p.text[at : at+len(userMark)]
			if i == 0 {
				putDigits(to, uint64(p.user))
			} else {
				copy(to, p.text[e.people[0]:])
			}
		}
	}
	return p.text
}

// putDigits writes n in decimal, with zeros in front.
func putDigits(to []byte, n uint64) {
	for i := len(to) - 1; i >= 0; i-- {
		to[i] = byte('0' + n%10)
		n /= 10
	}
}

// addOne increments a decimal number in place.
func addOne(digits []byte) {
	for i := len(digits) - 1; i >= 0; i-- {
		if digits[i] < '9' {
			digits[i]++
			return
		}
		digits[i] = '0'
	}
}

// eventText is an event that happened at the time, with its marks.
func eventText(at time.Time) string {
	return fmt.Sprintf(eventForm, at.UTC().Format("2006-01-02T15:04:05.000Z"))
}

// eventsText is one event as an object, or several as an array; they are of so many
// types in turn.
func eventsText(at time.Time, events, types int) string {
	text := eventText(at)
	if events == 1 {
		return text
	}
	all := make([]string, events)
	for i := range all {
		all[i] = strings.Replace(text, orderTypes[0], orderTypes[i%max(types, 1)], 1)
	}
	return "[" + strings.Join(all, ",") + "]"
}

// orderTypes are the types of event that the product has rules for.
var orderTypes = func() (types [20]string) {
	types[0] = "order-completed"
	for i := 1; i < len(types); i++ {
		types[i] = fmt.Sprintf("order-step-%02d", i)
	}
	return types
}()

// requestText is a whole request that posts the body. Further headers end in a line
// break each.
func requestText(host, path, key, headers, body string) string {
	return "POST " + path + " HTTP/1.1\r\nHost: " + host + "\r\n" + headers + "Authorization: Bearer " + key +
		"\r\nContent-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
}

// Tributary in a browser: docs/browser.md
{
const {stringify: json, parse} = JSON, {now} = Date
const bytes = text => new TextEncoder().encode(text).length, backoff = tries => Math.random() * Math.min(6e4, 1e3 * 2 ** tries)
const pause = e => Math.min(+e.retry_after || 0, 3600) * 1e3 // or a date
const lost = {temporary: 1} // no answer
const uuid = () => crypto.randomUUID?.() || crypto.getRandomValues(new Uint32Array(4)).join() // without HTTPS
// What localStorage does not take the page keeps.
let store = {}, rest = {}
try {store = localStorage || store} catch {}
const get = k => rest[k] ?? store[k]
const put = (k, text) => {try {store[k] = text; delete rest[k]} catch {rest[k] = text} return text}
const drop = k => {delete rest[k]; delete store[k]}

globalThis.Tributary = function (url, {key, token, size = 50, delay = 1e3, room = 1 << 20, onerror = console.warn}) {
url = new URL(url, document.baseURI).href.replace(/\/$/, '')
const name = 'tributary' + json([url, key]), queue = name + 'q', asked = new Map, subs = new Map
// It may throw; what fails in it is not told.
const tell = e => e == lost || mute || setTimeout(() => {
	queueMicrotask(() => mute = 0)
	mute = 1
	onerror(e)
})
let mute, last, bad, timer, flushing, ws, ready, most = size, count = 1e6, fresh = 0, tries = 0, lives = 0, id = 0

// The queue: an item an event, so tabs overwrite nothing; before it
// when an ending page sent it. With ~ it goes last, alone.
const keys = () => [...new Set([store, rest].flatMap(Object.keys))].filter(k => k.startsWith(queue)).sort()
const bound = left => {
	let n = 0
	for (const k of keys().reverse()) if ((left -= bytes(get(k))) < 0) n++, drop(k)
	if (n) tell({code: 'dropped', message: n + ' events'})
}
const batch = (most, left, unsent) => {
	const list = []
	if (navigator.onLine) for (const k of keys()) {
		const text = get(k) ?? '', at = text.indexOf('{')
		if (at > 0 && now() - text.slice(0, at) > 828e5) drop(k)
		else if (unsent ? !at : at >= 0) {
			if (list.length == most || ((left -= bytes(text) + 1) < 0 || k > queue + '~') && list[0]) break
			list.push([k, text.slice(at)])
		}
	}
	return list
}
const texts = list => list.map(e => e[1]).join()
const settle = (list, results) => {
	let retry
	results.forEach(({status, error}, i) => {
		if (status == 'retry') return retry = error || lost
		drop(list[i][0])
		if (error) tell({...error, event: parse(list[i][1])})
	})
	if (retry) throw retry
}
// No header, no preflight.
const post = async (list, keepalive) => {
	const body = `[{"writeKey":${json(key)},${texts(list).slice(1)}]`, signal = AbortSignal.timeout(3e4)
	const r = await fetch(url + '/v1/events', {method: 'POST', body, credentials: 'omit', keepalive, signal}).catch(() => {throw lost})
	const {results, error} = await r.json().catch(() => 0)
	if (results) return results
	throw {code: r.status, ...error, retry_after: r.headers.get('retry-after')}
}
// After a failure less, and by HTTP: it may be the size, or one event.
const drain = async () => {
	for (let list; (list = batch(most, 4e5))[0];) try {
		settle(list, ready && !tries ? (await ask('track', `{"events":[${texts(list)}]}`)).results : await post(list))
		tries = 0
		most = Math.min(size, most * 2)
	} catch (e) {
		const [[k], more] = list, no = /^4(?!0[148]|29)/.test(e.code)
		bad = more || last != (last = k + no) ? 1 : bad + 1
		most = list.length >> 1 || 1
		if (no && (more || bad > 4) || /^(too_[ld]|malf|inv|413)/.test(e.code)) more || settle(list, [{error: e}])
		else {
			if (bad > 4 && get(k)) put(queue + '~' + now() + uuid(), get(k)), drop(k)
			return tell(e), later(pause(e) + backoff(tries++))
		}
	}
}
const later = ms => {clearTimeout(timer); timer = setTimeout(flush, ms)}
// One tab sends what any has queued.
const flush = () => {
	clearTimeout(timer)
	timer = fresh = 0
	return flushing ||= (navigator.locks?.request(queue, drain).catch(drain) || drain()).finally(() => flushing = 0)
}
// The page may end. What goes stays until answered.
const leave = () => {
	const list = batch(1e3, 6e4, 1)
	list.forEach(([k, text]) => put(k, now() + text))
	if (list[0]) post(list, 1).then(r => settle(list, r)).catch(() => list.forEach(([k, text]) => get(k) && put(k, text)))
}

const ask = (command, body, sub) => new Promise((...done) => {
	asked.set(++id, [...done, sub])
	ws.send(`{"id":${id},"${command}":${body}}`)
	setTimeout(done[1], 3e4, lost)
})
const held = sub => subs.get(sub.channel) == sub, end = sub => held(sub) && subs.delete(sub.channel)
const listen = sub => ask('subscribe', json(sub), sub).catch(e => {
	if (e.temporary) throw e
	end(sub)
	tell(e)
})
const connect = () => {
	if (ws || !subs.size) return
	const me = ws = new WebSocket(url.replace('http', 'ws') + '/ws')
	let dead, ping = 25, after = 0
	const alive = () => {clearTimeout(dead); dead = setTimeout(() => {me.close(); me.onclose(lost)}, ping * 1e3 + 1e4)}
	alive()
	me.onclose = ({code, reason: message}) => {
		clearTimeout(dead)
		ws = ready = me.onclose = null
		asked.forEach(done => done[1](lost))
		asked.clear()
		if (code > 3499) {
			tell({code, message})
			code == 3501 || subs.clear() // a slow token
		}
		setTimeout(connect, after + backoff(lives++))
	}
	me.onopen = async () => {
		try {
			const pass = {key, token: token?.call ? await token() : token}
			if (ws != me) return
			({ping} = await ask('connect', json(pass)))
			ready = 1
			await Promise.all([...subs.values()].map(listen))
			subs.size ? lives = 0 : me.close()
		} catch (e) {
			after = pause(e)
			tell(e)
			me.close()
		}
	}
	me.onmessage = ({data}) => {alive(); data.split('\n').forEach(line => line && take(parse(line)))}
}
const take = ({id, error, push, subscribed: {epoch, offset, recovered} = {}, ...reply}) => {
	const [done, fail, mine] = asked.get(id) || [], sub = mine || subs.get(push?.channel)
	asked.delete(id)
	if (epoch) {
		if (sub.recover && !recovered) tell({code: 'gap', message: sub.channel})
		sub.recover = {offset, ...recovered && sub.recover, epoch}
	}
	if (reply.ping) ws.send('{"pong":{}}')
	else if (done) error ? fail(error) : done(Object.values(reply)[0])
	else if (push && sub?.recover) {
		sub.recover.offset = push.offset
		queueMicrotask(() => held(sub) && sub.callback(push.data, push))
	}
}

const on = addEventListener, wake = () => {tries = lives = 0; flush(); connect()}
on('online', wake)
on('pageshow', wake)
on('pagehide', () => {leave(); ws?.close()})
on('visibilitychange', () => document.hidden && leave())
flush()

const place = ({URL: url, title, referrer} = document) => ({url, title, referrer}), anonymous = () => get(name + 'anonymous') || put(name + 'anonymous', uuid())
const session = () => {// 30 idle minutes
	const [id, at] = `${get(name + 'session')}`.split(' ')
	return put(name + 'session', (now() - at < 18e5 ? id : uuid()) + ' ' + now()).split(' ')[0]
}
const track = (type, properties, more) => {
	const event = {
		id: uuid(), type, time: new Date, session: session(), properties, ...more,
		ids: {anonymous: anonymous(), user: get(name + 'user'), ...more?.ids},
		context: {page: place(), locale: navigator.language, ...more?.context}
	}
	try {
		const text = json(event), n = bytes(text)
		if (n > room || n > 4e5) throw {code: 'too_large', message: n + ' bytes'}
		bound(room - n)
		put(queue + now() + count++ + uuid(), text)
		++fresh >= size && !tries ? flush() : timer || later(delay)
	} catch ({code = 'malformed', message}) {tell({code, message, event})}
	return event.id
}
return {
	track, flush, anonymous, session,
	page: (own, more) => track('page-view', {...place(), ...own}, more),
	identify(ids, traits, more) {
		if (ids && typeof ids != 'object') ids = {user: ids}
		if (ids?.user) put(name + 'user', ids.user)
		return track('identify', {}, {...more, ids, traits})
	},
	reset: () => ['user', 'anonymous', 'session'].forEach(k => drop(name + k)),
	subscribe(channel, filter, callback) {
		if (subs.has(channel)) throw Error(channel + ': subscribed')
		const sub = {channel, filter, callback}
		subs.set(channel, sub)
		ready ? listen(sub).catch(() => ws?.close()) : connect()
		return () => {
			if (end(sub) && ready) subs.size ? ask('unsubscribe', json({channel})).catch(tell) : ws.close()
		}
	}
}
}
}

// Tributary in a browser: docs/browser.md
{
const json = JSON.stringify, { parse } = JSON, { now } = Date
const bytes = text => new TextEncoder().encode(text).length
const backoff = tries => Math.random() * Math.min(6e4, 1e3 * 2 ** tries)
const pause = e => (e.retry_after || 0) * 1e3
const lost = { code: 'network', message: 'no answer', temporary: 1 }
const uuid = () => crypto.randomUUID?.() || [...crypto.getRandomValues(new Uint8Array(16))].map(b => b.toString(16).padStart(2, 0)).join('') // without HTTPS
let store = {} // for a browser that keeps nothing
try { localStorage.tributary = ''; store = localStorage } catch {}

globalThis.Tributary = function (url, { key, token, size = 50, delay = 1e3, room = 1 << 20, onerror = e => console.warn('tributary', e) }) {
	url = new URL(url, document.baseURI).href.replace(/\/$/, '')
	const name = 'tributary' + json([url, key]), queue = name + 'q', tab = uuid(), asked = new Map, subs = new Map
	let timer, flushing, ws, ready, count = 1e6, fresh = 0, tries = 0, lives = 0, id = 0

	// The queue: an item an event, so that tabs never overwrite each other's; in
	// front the time at which a page that ended has sent it.
	const keys = () => Object.keys(store).filter(k => k.startsWith(queue)).sort()
	const put = (k, text) => { try { store[k] = text } catch (e) { onerror(e) } return text }
	const bound = more => {
		const all = keys(), cost = k => bytes(store[k] || '')
		let n = 0, spare = all.reduce((rest, k) => rest - cost(k), room - more)
		for (; spare < 0 && all[n]; delete store[all[n++]]) spare += cost(all[n])
		if (n) onerror({ code: 'dropped', message: n + ' events' })
	}
	const batch = (most, left, unsent) => {
		const list = []
		if (navigator.onLine) for (const k of keys()) {
			const text = store[k] || '', at = text.indexOf('{')
			if (at > 0 && now() - text.slice(0, at) > 828e5) delete store[k] // known for 24 h
			else if (!at || at > 0 && !unsent) {
				if (list.length == most || (left -= bytes(text) + 1) < 0 && list[0]) break
				list.push([k, text.slice(at)])
			}
		}
		return list
	}
	const texts = list => list.map(e => e[1]).join()
	const settle = (list, results) => {
		let retry
		results.forEach(({ status, error }, i) => {
			if (status == 'retry') return retry = { ...lost, ...error }
			delete store[list[i][0]]
			if (error) onerror({ ...error, event: parse(list[i][1]) })
		})
		if (retry) throw retry
	}
	// A header would ask for a preflight.
	const post = async (list, keepalive) => {
		const body = `[{"writeKey":${json(key)},${texts(list).slice(1)}]`, signal = AbortSignal.timeout(3e4)
		const r = await fetch(url + '/v1/events', { method: 'POST', body, credentials: 'omit', keepalive, signal }).catch(() => { throw lost })
		const { results, error } = await r.json().catch(() => lost)
		if (results) return results
		throw { code: r.status, ...error, retry_after: r.headers.get('retry-after') }
	}
	const drain = async () => {
		for (let list, most = size; (list = batch(most, 4e5))[0];) try {
			settle(list, ready ? (await ask('track', `{"events":[${texts(list)}]}`)).results : await post(list))
			tries = 0
		} catch (e) {
			if (e != lost) onerror(e)
			if (!/^(too_[ld]|malf|inv|413)/.test(e.code)) return later(pause(e) + backoff(tries++))
			list[1] ? most = list.length >> 1 : delete store[list[0][0]]
		}
	}
	const later = ms => { clearTimeout(timer); timer = setTimeout(flush, ms) }
	// Sends what any tab has queued, one tab at a time.
	const flush = () => {
		clearTimeout(timer)
		timer = fresh = 0
		return flushing ||= (navigator.locks?.request(queue, drain).catch(drain) || drain()).finally(() => flushing = 0)
	}
	// The page may end. What goes stays until it is answered.
	const leave = () => {
		const list = batch(1e3, 6e4, 1)
		list.forEach(([k, text]) => put(k, now() + text))
		if (list[0]) post(list, 1).then(r => settle(list, r)).catch(() => list.forEach(([k, text]) => store[k] && put(k, text)))
	}

	// The socket is there while there are subscriptions; events use it, too.
	const ask = (command, body) => new Promise((...done) => {
		asked.set(++id, done)
		ws.send(`{"id":${id},"${command}":${body}}`)
	})
	const listen = ({ channel, filter, at }) => ask('subscribe', json({ channel, filter, recover: at })).catch(e => {
		if (e.temporary) throw e
		subs.delete(channel)
		onerror(e)
	})
	const connect = () => {
		if (ws || !subs.size) return
		const me = ws = new WebSocket(url.replace('http', 'ws') + '/ws')
		let dead, ping = 25, after = 0
		const alive = () => { clearTimeout(dead); dead = setTimeout(() => { me.close(); me.onclose(lost) }, ping * 1e3 + 1e4) }
		alive()
		me.onclose = ({ code, reason }) => {
			clearTimeout(dead)
			ws = ready = me.onclose = null
			asked.forEach(done => done[1](lost))
			asked.clear()
			if (code > 3499 && code < 4e3) onerror({ code, message: reason })
			else setTimeout(connect, after + backoff(lives++))
		}
		me.onopen = async () => {
			try {
				({ ping } = await ask('connect', json({ key, token: token?.call ? await token() : token })))
				ready = 1
				await Promise.all([...subs.values()].map(listen))
				subs.size ? lives = 0 : me.close()
			} catch (e) {
				after = pause(e)
				if (e != lost) onerror(e)
				me.close()
			}
		}
		me.onmessage = ({ data }) => { alive(); data.split('\n').forEach(line => line && take(parse(line))) }
	}
	const take = ({ id, error, push, subscribed, ...reply }) => {
		const done = asked.get(id), sub = subs.get((push || subscribed)?.channel)
		asked.delete(id)
		if (sub && subscribed) {
			const { epoch, offset, recovered } = subscribed
			if (sub.at && !recovered) onerror({ code: 'gap', message: sub.channel })
			sub.at = epoch && { offset, ...recovered && sub.at, epoch }
		}
		if (reply.ping) ws.send('{"pong":{}}')
		else if (done) error ? done[1](error) : done[0](Object.values(reply)[0])
		else if (sub && push) {
			if (sub.at) sub.at.offset = push.offset
			queueMicrotask(() => sub.callback(push.data, push))
		}
	}

	const wake = () => { tries = lives = 0; connect(); flush() }
	addEventListener('online', wake)
	addEventListener('pageshow', wake)
	addEventListener('pagehide', () => { leave(); ws?.close() })
	document.addEventListener('visibilitychange', () => document.hidden && leave())
	flush()

	const place = () => ({ url: location.href, title: document.title, referrer: document.referrer })
	const anonymous = () => store[name + 'anonymous'] || put(name + 'anonymous', uuid())
	const session = () => { // ends after 30 minutes without an event
		const [id, at] = (store[name + 'session'] || '').split(' ')
		return put(name + 'session', (now() - at < 18e5 ? id : uuid()) + ' ' + now()).split(' ')[0]
	}
	// Queues an event; options are further fields of it. Returns its id.
	const track = (type, properties, options) => {
		const event = {
			id: uuid(), type, time: new Date, session: session(), properties, ...options,
			ids: { anonymous: anonymous(), user: store[name + 'user'], ...options?.ids },
			context: { page: place(), locale: navigator.language, ...options?.context }
		}, text = json(event)
		bound(bytes(text))
		put(queue + now() + count++ + tab, text)
		++fresh >= size && !tries ? flush() : timer || later(delay)
		return event.id
	}
	return {
		track, flush, anonymous, session,
		page: (properties, options) => track('page-view', { ...place(), ...properties }, options),
		// ids: the user's id, which is kept, or ids by kind.
		identify(ids, traits, options) {
			if (typeof ids != 'object') ids = { user: ids }
			if (ids?.user) put(name + 'user', ids.user)
			return track('identify', {}, { ...options, ids, traits })
		},
		reset: () => ['user', 'anonymous', 'session'].forEach(k => delete store[name + k]), // at log-out
		// callback(data, { channel, offset }). Returns what ends it.
		subscribe(channel, filter, callback) {
			if (subs.has(channel)) throw Error(channel + ': subscribed')
			const sub = { channel, filter: filter || undefined, callback }
			subs.set(channel, sub)
			ready ? listen(sub).catch(() => ws?.close()) : connect()
			return () => {
				if (subs.get(channel) == sub && subs.delete(channel) && ready) subs.size ? ask('unsubscribe', json({ channel })).catch(onerror) : ws.close()
			}
		}
	}
}
}

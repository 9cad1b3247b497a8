// The CloudEvents SDK in each of its modes. Arguments: the product's address and
// a write key.
import { CloudEvent, HTTP, emitterFor, httpTransport } from 'cloudevents'

const [url, key] = process.argv.slice(2)
const sink = `${url}/v1/cloudevents`
const headers = { 'X-Write-Key': key }
const order = (id, more) => new CloudEvent({
  id, source: '/shop/orders', type: 'order-completed', time: '2026-03-01T10:00:00Z', data: { total: 12.5, note: 'größer als 10 €' }, ...more,
})

const post = async ({ headers: own, body }) => {
  const r = await fetch(sink, { method: 'POST', headers: { ...own, ...headers }, body })
  if (!r.ok) throw new Error(`${r.status} ${await r.text()}`)
}
await post(HTTP.binary(order('binary', { subject: 'invoice 1' })))
await post(HTTP.structured(order('structured', { userid: 'ann' })))
await post({ headers: { 'Content-Type': 'application/cloudevents-batch+json' }, body: JSON.stringify([order('batch-1'), order('batch-2')]) })
await emitterFor(httpTransport(sink), { mode: 'structured' })(order('emitted'), { headers })
await post(HTTP.binary(order('binary', { subject: 'invoice 1' }))) // again

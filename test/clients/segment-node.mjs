// @segment/analytics-node as a shop's server uses it. Arguments: the product's
// address, a write key and how many orders to send.
import { Analytics } from '@segment/analytics-node'

const [host, writeKey, orders] = process.argv.slice(2)
const analytics = new Analytics({ host, writeKey, flushAt: 7, maxRetries: 20, flushInterval: 100 })
analytics.on('error', e => console.error(e.code, e.reason))

analytics.identify({ userId: 'ann', anonymousId: 'b7', traits: { firstName: 'Ann', email: 'ann@shop.example' } })
analytics.page({ userId: 'ann', name: 'Home', category: 'Start', properties: { url: 'https://shop.example/' } })
analytics.screen({ userId: 'ann', name: 'Basket', properties: { items: 2 } })
analytics.group({ userId: 'ann', groupId: 'acme', traits: { plan: 'gold' } })
analytics.alias({ userId: 'ann', previousId: 'guest-1' })
for (let i = 0; i < orders; i++) {
  analytics.track({
    userId: 'ann', event: 'Order Completed', properties: { total: 12.5, place: i, note: 'größer als 10 €' },
    timestamp: new Date('2026-03-01T10:00:00Z'), context: { campaign: { name: 'spring' } },
  })
}
await analytics.closeAndFlush({ timeout: 60000 })

// @rudderstack/rudder-sdk-node as a shop's server uses it, with its gzip bodies.
// Arguments: the product's address, a write key and how many orders to send.
import RudderAnalytics from '@rudderstack/rudder-sdk-node'

const [dataPlaneUrl, key, orders] = process.argv.slice(2)
const analytics = new RudderAnalytics(key, { dataPlaneUrl, flushAt: 7, flushInterval: 100, retryCount: 20 })

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
await analytics.flush()

// @jitsu/js as one process of a shop uses it for all of the shop's users: with
// one anonymous id. Arguments: the product's address, a write key, how many
// users, and browser or server for the endpoints of either.
import { jitsuAnalytics } from '@jitsu/js'

const [host, key, users, side] = process.argv.slice(2)
const jitsu = jitsuAnalytics({ host, writeKey: `${key}:secret`, s2s: side === 'server' })
jitsu.setAnonymousId('one-process')
for (let i = 0; i < users; i++) {
  await jitsu.identify(`user-${i}`, { email: `user-${i}@shop.example` })
  await jitsu.track('Order Completed', { total: i })
  await jitsu.page({ url: 'https://shop.example/', title: 'Home' })
  await jitsu.group('acme', { plan: 'gold' })
}

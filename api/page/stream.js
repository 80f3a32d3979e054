// What is new in the feed: from the live stream or, where there is none, by asking again and again.
import {Failure, read, request} from './client.js'

const pollEvery = 3_000, pollFor = 60_000 // then the stream is tried again
const silence = 40_000 // the server sends a comment every 15 s: after this time the connection is dead

// follow tells the feed what is new until the signal is aborted or the session ends:
//   page(tweets, isLast)  the newest page, which replaces what the feed has of that time
//   add(tweet), remove(id)
//   state(name, message)  live, polling, or offline and why
export async function follow(feed, signal) {
  let lastEvent = '', tag = '', retry = 1_000 // tag: of the page that the feed still shows as it was read

  async function catchUp() {
    const response = await request('GET', 'feeds/me', {signal, headers: {'If-None-Match': tag}})
    if (response.status === 304) return
    const {data, nextCursor} = await read(response)
    tag = response.headers.get('ETag')
    feed.page(data, !nextCursor)
  }

  async function poll() {
    for (const end = Date.now() + pollFor; Date.now() < end && !signal.aborted; await sleep(pollEvery, signal)) {
      await catchUp()
      feed.state('polling')
    }
  }

  async function stream() {
    let connection = new AbortController(), timer = 0
    const heard = () => { clearTimeout(timer); timer = setTimeout(() => connection.abort(), silence) }
    try {
      heard()
      const headers = {Accept: 'text/event-stream', ...lastEvent && {'Last-Event-ID': lastEvent}}
      const response = await request('GET', 'feeds/me/stream', {headers, signal: AbortSignal.any([signal, connection.signal])})
      if ([404, 429, 503].includes(response.status)) return await poll() // there are no streams, or too many
      if (!response.ok) return await read(response) // it fails
      await catchUp() // now that the stream is open, so that nothing is missed in between
      feed.state('live')
      for await (const event of events(response.body, heard)) {
        lastEvent = event.id ?? lastEvent
        retry = Number(event.retry ?? retry) // each client has another, so that they do not come back at once
        if (event.event) tag = ''
        if (event.event === 'tweet') feed.add(JSON.parse(event.data))
        if (event.event === 'delete') feed.remove(JSON.parse(event.data).id)
        if (event.event === 'reset') await catchUp()
      }
    } finally {
      clearTimeout(timer)
      connection.abort()
    }
  }

  for (let pause = retry; !signal.aborted; await sleep(pause, signal)) {
    try {
      await stream()
      pause = retry // it has ended, such as with its access token
    } catch (error) {
      if (signal.aborted || error.status === 401) return
      feed.state('offline', error instanceof Failure ? error.message : 'The connection is lost.')
      pause = Math.min(2 * pause, 30_000)
    }
  }
}

// events reads a stream of events (WHATWG HTML, 9.2.6). It calls heard when a part arrives.
async function * events(body, heard) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader()
  for (let text = '', event = {}; ;) {
    const {done, value} = await reader.read()
    if (done) return
    heard()
    const lines = (text + value).split('\n')
    text = lines.pop()
    for (const line of lines) {
      const [, name, content] = line.match(/^([^:\r]*):? ?([^]*?)\r?$/) // a comment has no name
      if (name) event[name] = name === 'data' && event.data ? `${event.data}\n${content}` : content
      else if (!line.startsWith(':')) {
        yield event // it may have an id or a retry alone
        event = {}
      }
    }
  }
}

export const sleep = (ms, signal) => new Promise(done => {
  const end = () => { clearTimeout(timer); signal.removeEventListener('abort', end); done() }, timer = setTimeout(end, ms)
  signal.addEventListener('abort', end)
})

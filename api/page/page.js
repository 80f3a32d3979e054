// The views. What users wrote becomes text nodes and attributes, never HTML; the policy refuses HTML from scripts.
import {call, enter, Failure, hasSession, logOut, sentence, session} from './client.js'
import {follow, sleep} from './stream.js'

const {maxContent, workflow} = document.documentElement.dataset
const [main, nav, news, find] = ['main', 'nav', 'news', 'find'].map(id => document.getElementById(id))
let me = null // who is logged in
let view = new AbortController() // ends what the view that is shown does

// h makes an element. A function is the handler of an event; for null and false there is no attribute.
function h(name, attributes, ...children) {
  const element = document.createElement(name)
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === 'function') element.addEventListener(key, value)
    else if (value != null && value !== false) element.setAttribute(key, value)
  }
  element.append(...children.flat().filter(child => child != null && child !== false))
  return element
}

const number = n => n.toLocaleString('en')
const count = (n, what) => `${number(n)} ${what}${n === 1 ? '' : 's'}`
const say = text => { news.textContent = text } // to screen readers
const userLink = (name, ...content) => h('a', {href: `#/@${name}`}, ...content.length ? content : [`@${name}`])
const title = (...content) => h('h1', {tabindex: -1}, ...content)
const button = (text, click, kind = 'quiet') => h('button', {type: 'button', class: kind, click}, text)

// problem says what is wrong, and may offer to try again.
const problem = (error, again) => h('div', {class: 'problem', role: 'alert'}, error.message, again && button('Try again', again))

// tries makes a handler, which says in the place why it could not do the action.
const tries = (place, action) => async () => {
  place.querySelector('.problem')?.remove()
  await action().catch(error => place.append(problem(error)))
}

function ago(time) {
  const minutes = (Date.now() - Date.parse(time)) / 60_000
  if (minutes < 0.75) return 'just now'
  if (minutes < 59.5) return `${Math.round(minutes)} min ago`
  return minutes < 1410 ? `${Math.round(minutes / 60)} h ago` : new Date(time).toLocaleDateString('en', {dateStyle: 'medium'})
}
const when = time => h('time', {datetime: time, title: new Date(time).toLocaleString()}, ago(time))
setInterval(() => document.querySelectorAll('time').forEach(t => { t.textContent = ago(t.dateTime) }), 15_000)

function avatar(name) {
  const picture = h('span', {class: 'avatar', 'aria-hidden': 'true'}, name[0].toUpperCase())
  picture.style.setProperty('--hue', [...name].reduce((sum, c) => (sum * 31 + c.codePointAt()) % 360, 7))
  return picture
}

// form makes a form with labels. What submit throws about a field stands at the field.
function form(fields, action, submit, ...more) {
  const alert = h('p', {class: 'problem', role: 'alert'}), send = h('button', {class: 'primary'}, action)
  const show = ({message = '', fields = []}) => {
    for (const input of element.querySelectorAll('[name]')) {
      const broken = fields.find(one => one.field === input.name)?.error ?? ''
      input.ariaInvalid = Boolean(broken)
      // The sentence begins with the field's name, which the label has.
      element.querySelector(`#${input.name}-error`).textContent = broken && sentence(broken.slice(input.name.length + 1))
    }
    const first = element.querySelector('[aria-invalid="true"]')
    alert.textContent = first ? '' : message
    first?.focus()
  }
  const element = h('form', {novalidate: '', submit: async event => {
    event.preventDefault()
    if (send.ariaBusy === 'true') return
    send.ariaBusy = 'true'
    show({})
    await submit(Object.fromEntries(new FormData(element)), element.elements).catch(show)
    send.ariaBusy = 'false'
  }}, fields.map(({name, label, hint, tag = 'input', ...attributes}) => h('div', {class: 'field'},
    h('label', {for: name}, label), h(tag, {id: name, name, 'aria-describedby': `${name}-hint ${name}-error`, ...attributes}),
    h('p', {class: 'hint', id: `${name}-hint`}, hint), h('p', {class: 'error', id: `${name}-error`}))),
  alert, h('div', {class: 'actions'}, ...more, send))
  return element
}

// entrance is the view to log in or to sign up. If the API answers with that code, the username is wrong as the hint says.
const entrance = (name, path, fields, code, hint, ...more) => () => [
  h('section', {class: 'claim'}, h('p', {}, 'Each tweet is a ', h('em', {}, 'workflow'), '.'),
    h('p', {}, 'Write one and watch it reach the feed of every follower, each once, whatever fails meanwhile. ',
      'Temporal runs the delivery, and this page shows it.')),
  h('section', {class: 'card'}, title(name), form(fields, name, async values => {
    await enter(path, values).catch(error => {
      if (error.code === code) error.fields = [{field: 'username', error: `username ${hint}`}]
      throw error
    })
    await begin('#/')
  }, h('p', {}, ...more)))]

const username = {name: 'username', label: 'Username', autocomplete: 'username', autocapitalize: 'none', spellcheck: 'false'}
const password = {name: 'password', label: 'Password', type: 'password', autocomplete: 'new-password'}
const logInView = entrance('Log in', 'users/authorize', [username, {...password, autocomplete: 'current-password'}],
  'not-found', 'is of no user: check it, or sign up', 'New here? ', h('a', {href: '#/signup'}, 'Sign up'))
const signUpView = entrance('Sign up', 'users', [
  {...username, hint: 'Up to 16 of a–z, 0–9, _ and -'},
  {name: 'displayName', label: 'Display name', autocomplete: 'name'},
  {name: 'email', label: 'E-mail address', type: 'email', autocomplete: 'email', hint: 'Only you see it'},
  {...password, hint: 'At least 8 characters'},
  {...password, name: 'passwordConfirmation', label: 'Password again'},
], 'conflict', 'is taken: choose another, or log in if it is yours', 'Not new? ', h('a', {href: '#/login'}, 'Log in'))

// composer counts as the server does: code points, of the text as it is.
function composer(posted) {
  const counter = h('output', {class: 'counter', for: 'content', 'aria-label': 'Characters left'}, maxContent)
  let key = '' // the same for a text that is sent again, so that it is posted once; randomUUID would need HTTPS
  const input = ({target}) => {
    const left = maxContent - [...target.value].length
    key = crypto.getRandomValues(new BigUint64Array(2)).join('-')
    counter.textContent = left
    counter.classList.toggle('over', left < 0)
    if (left < 0) say(`${count(-left, 'character')} too many`)
  }
  const keydown = ({key, ctrlKey, metaKey, target}) => key === 'Enter' && (ctrlKey || metaKey) && target.form.requestSubmit()
  const fields = [{name: 'content', label: 'What is new?', tag: 'textarea', rows: 3, dir: 'auto', input, keydown}]
  return form(fields, 'Tweet', async (_, {content}) => {
    const headers = key && {'Idempotency-Key': key}
    posted((await call('POST', 'tweets', {body: {content: content.value}, headers})).data)
    content.value = ''
    content.dispatchEvent(new Event('input'))
    content.focus()
    say('Your tweet is posted.')
  }, counter)
}

// delivery shows how many feeds a tweet has reached, until that is over.
function delivery(tweet, signal) {
  const bar = h('progress', {max: 1, value: 0, 'aria-label': 'Delivery to feeds'}), text = h('span', {}, 'Delivery begins')
  const watch = async () => {
    for (let pause = 300; !signal.aborted; pause = Math.min(1.2 * pause, 2000), await sleep(pause, signal)) {
      try {
        const {data: {total, delivered, failed, startedAt, completedAt}} = await call('GET', `deliveries/${tweet.id}`, {signal})
        bar.max = total || 1
        bar.value = total ? delivered : Number(completedAt !== null)
        text.textContent = completedAt === null ? `${number(delivered)} of about ${count(total, 'feed')}`
          : `${count(delivered, 'feed')} in ${((Date.parse(completedAt) - Date.parse(startedAt)) / 1000).toFixed(1)} s`
        if (failed) text.append(`; ${count(failed, 'feed')} failed: an operator can repair them`)
        if (completedAt !== null) return
      } catch (error) {
        if (signal.aborted || error.status === 404) return
        text.textContent = error.message
      }
    }
  }
  watch()
  return h('div', {class: 'delivery'}, bar, h('p', {}, text, workflow && h('a', {href: workflow + tweet.id, target: '_blank',
    rel: 'noopener noreferrer'}, 'Workflow', h('span', {class: 'unseen'}, ' (in a new tab)'))))
}

// deletion is a button that wants a second press.
function deletion(tweet, item) {
  const element = button('Delete', tries(item, async () => {
    if (element.textContent === 'Delete') return element.textContent = 'Delete for good?'
    await call('DELETE', `tweets/${tweet.id}`).catch(error => { if (error.status !== 404) throw error })
    item.parentElement.focus()
    item.remove()
    say('The tweet is deleted.')
  }))
  element.addEventListener('blur', () => { element.textContent = 'Delete' })
  return element
}

function tweetItem(tweet, signal) {
  const item = h('li', {class: 'tweet', id: tweet.id}), own = tweet.username === me?.username
  item.append(avatar(tweet.username), h('article', {},
    h('p', {class: 'by'}, userLink(tweet.username), when(tweet.createdAt), own && deletion(tweet, item)),
    h('p', {class: 'content', dir: 'auto'}, tweet.content), own && delivery(tweet, signal)))
  return item
}

// pages is a list, and a button for its next page.
function pages(path, {data, nextCursor}, item, signal, empty) {
  const list = h('ol', {class: 'list', tabindex: -1}, data.map(item)), box = h('div', {}, list, h('p', {class: 'empty'}, empty))
  const more = button('More', tries(box, async () => {
    const page = await call('GET', `${path}?cursor=${nextCursor}`, {signal})
    const items = page.data.map(item)
    list.append(...items)
    nextCursor = page.nextCursor
    more.hidden = !nextCursor
    items[0]?.querySelector('a').focus()
  }), 'more')
  more.hidden = !nextCursor
  box.append(more)
  return box
}

async function homeView(signal) {
  if (!me) return logInView()
  const path = `users/${me.username}/tweets`, item = tweet => tweetItem(tweet, signal)
  const [feed, own] = await Promise.all([call('GET', 'feeds/me', {signal}), call('GET', `${path}?limit=4`, {signal})])
  const ownList = pages(path, {data: own.data}, item, signal, 'None yet: write your first one.')
  const feedList = pages('feeds/me', feed, item, signal, 'Nothing yet. Follow somebody: enter a name at the top.')
  const list = feedList.firstChild, state = h('span', {class: 'state', role: 'status'}, 'Connecting')
  const add = tweet => {
    const below = [...list.children].find(one => one.id <= tweet.id) // ids sort by time
    if (below?.id === tweet.id) return
    list.insertBefore(item(tweet), below ?? null)
    say(`New tweet of ${tweet.username}: ${tweet.content}`)
  }
  follow({
    add, remove(id) { list.children.namedItem(id)?.remove() },
    page(tweets, isLast) {
      const oldest = isLast ? '' : tweets.at(-1).id
      for (const {id} of [...list.children]) if (id >= oldest && !tweets.some(tweet => tweet.id === id)) this.remove(id)
      tweets.toReversed().forEach(add)
    },
    state(name, message = {live: 'Live', polling: 'Asks every 3 seconds'}[name]) {
      if (state.textContent === message) return
      state.className = `state ${name}`
      state.textContent = message
    },
  }, signal)
  return [
    h('section', {class: 'card write'}, composer(tweet => ownList.firstChild.prepend(item(tweet)))),
    h('section', {class: 'card own'}, h('h2', {}, 'Your tweets', userLink(me.username, 'All')), ownList),
    h('section', {class: 'card feed'}, title('Feed', state), feedList)]
}

// doesFollow looks for a name among those that you follow, which are sorted.
async function doesFollow(name, signal) {
  for (let query = '?limit=100'; ;) {
    const {data, nextCursor} = await call('GET', `users/${me.username}/followings${query}`, {signal})
    if (!nextCursor || data.at(-1).username >= name) return data.some(one => one.username === name)
    query = `?limit=100&cursor=${nextCursor}`
  }
}

async function profileView(signal, name) {
  const path = `users/${name}`, other = me && me.username !== name
  let [{data: user}, tweets, follows] = await Promise.all([
    call('GET', path, {signal}), call('GET', `${path}/tweets`, {signal}), other && doesFollow(name, signal)])
  const followers = h('a', {href: `#/@${name}/followers`}), card = h('section', {class: 'card profile'})
  const toggle = button('', tries(card, async () => {
    await (follows ? call('DELETE', `follow/${name}`) : call('POST', 'follow', {body: {followingUsername: name}}))
    follows = !follows
    user.followers += follows ? 1 : -1 // the server counts some seconds later
    update()
    say(follows ? `You follow ${name}.` : `You no longer follow ${name}.`)
  }), 'primary')
  const update = () => {
    followers.textContent = count(user.followers, 'follower')
    toggle.textContent = follows ? 'Unfollow' : 'Follow'
  }
  update()
  card.append(avatar(name), h('div', {}, title(user.displayName), h('p', {}, `@${name}, since `, when(user.createdAt)),
    h('p', {}, followers, h('a', {href: `#/@${name}/followings`}, `follows ${number(user.followings)}`))), other ? toggle : '')
  return [card, h('section', {class: 'card'}, h('h2', {}, 'Tweets'),
    pages(`${path}/tweets`, tweets, tweet => tweetItem(tweet, signal), signal, 'None yet.'))]
}

async function namesView(signal, name, list) {
  const path = `users/${name}/${list}`, item = ({username}) => h('li', {}, userLink(username, avatar(username), `@${username}`))
  return [h('section', {class: 'card names'}, title(list === 'followers' ? 'Followers of ' : 'Followed by ', userLink(name)),
    pages(path, await call('GET', path, {signal}), item, signal, 'Nobody yet.'))]
}

const views = {
  '^#/login$': logInView, '^#/signup$': signUpView, '^#/@([^/]+)$': profileView,
  '^#/@([^/]+)/(followers|followings)$': namesView, '': homeView,
}

// show draws the view that the address names.
async function show() {
  view.abort()
  const {signal} = view = new AbortController()
  nav.replaceChildren(...me ? [h('a', {href: '#/'}, 'Feed'), userLink(me.username, 'Profile'), button('Log out', leave)]
    : [h('a', {href: '#/login'}, 'Log in'), h('a', {href: '#/signup'}, 'Sign up')])
  for (const link of nav.querySelectorAll('a')) if (link.hash === location.hash) link.ariaCurrent = 'page'
  const [pattern, draw] = Object.entries(views).find(([pattern]) => location.hash.match(pattern))
  let content
  try {
    content = await draw(signal, ...location.hash.match(pattern).slice(1).map(part => part.toLowerCase()))
  } catch (error) {
    content = [h('section', {class: 'card'}, title(error.status === 404 ? 'Not found' : 'Error'), problem(error, show))]
  }
  if (signal.aborted) return
  main.replaceChildren(...content)
  const heading = main.querySelector('h1')
  document.title = `${heading.firstChild.textContent} · twtr`
  heading.focus()
  scrollTo(0, 0)
}

// outside shows the view to log in, and why.
async function outside(error) {
  me = null
  history.replaceState(null, '', '#/login')
  await show()
  if (error) main.prepend(problem(error))
}
const leave = async () => outside(await logOut().catch(error => error))
session.addEventListener('ended', () => outside(new Failure('your session has ended: log in again')))

find.addEventListener('submit', event => {
  event.preventDefault()
  location.hash = `#/@${encodeURIComponent(find.elements.who.value.trim().replace(/^@/, ''))}`
  find.reset()
})
addEventListener('hashchange', show)

// begin shows the view of that address to who has the session.
async function begin(address) {
  if (hasSession()) me = (await call('GET', 'users/me')).data
  history.replaceState(null, '', address || '#/')
  await show()
}
const start = () => begin(location.hash).catch(error => error.status !== 401 && main.replaceChildren(problem(error, start)))
start()

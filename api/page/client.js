// The client of the API, with one session.

// The access token is in this variable alone. The refresh token is in sessionStorage, so that a reload keeps the session: it is
// this tab's, and goes with it. In localStorage it would outlast the tab, and tabs would use up each other's; in a cookie it
// would travel with requests that other pages cause. A script in this page could read it: the Content-Security-Policy lets in ours
// alone, and no text of a user becomes HTML.
let accessToken = ''
const key = 'twtr.refreshToken'
const refreshToken = () => sessionStorage.getItem(key)
export const hasSession = () => refreshToken() !== null

// It has the event "ended" when the server has ended the session.
export const session = new EventTarget()

// sentence makes one of an error of the API.
export const sentence = text => text.charAt(0).toUpperCase() + text.slice(1) + '.'

// Failure is an answer that is an error or, with status 0, no answer. Its message says what to do.
export class Failure extends Error {
  constructor(message, status = 0, {code = '', fields = []} = {}) {
    super(sentence(message))
    Object.assign(this, {status, code, fields})
  }
}

async function send(method, path, {body, headers, signal} = {}) {
  const init = {method, signal, headers: {...headers}, cache: 'no-store', credentials: 'omit', body: body && JSON.stringify(body)}
  if (accessToken) init.headers.Authorization = `Bearer ${accessToken}`
  try {
    return await fetch(path, init)
  } catch (error) {
    throw signal?.aborted ? error : new Failure('the server cannot be reached: check your connection, and try again')
  }
}

// read returns the JSON of a response, and fails if it is an error.
export async function read(response) {
  const answer = await response.json().catch(() => null)
  if (response.ok && answer) return answer
  throw new Failure(answer?.error || `the server answers ${response.status}: try again later`, response.status, answer ?? {})
}

// request makes a request of the user, with a token that is refreshed when it must be.
export async function request(method, path, options) {
  if (!accessToken && hasSession()) await refresh()
  const response = await send(method, path, options)
  if (response.status !== 401 || !hasSession()) return response
  await refresh()
  return send(method, path, options)
}

export const call = async (method, path, options) => read(await request(method, path, options))

let refreshing = null // by all requests that wait for it
const refresh = () => refreshing ??= renew(refreshToken()).finally(() => { refreshing = null })

async function renew(spent) {
  try {
    const {data} = await read(await send('POST', 'users/refresh', {body: {refreshToken: spent}}))
    if (refreshToken() === spent) keep(data) // no log-out came meanwhile
  } catch (error) {
    if (error.status === 401 && refreshToken() === spent) {
      forget()
      session.dispatchEvent(new Event('ended'))
    }
    throw error
  }
}

function keep(tokens) {
  accessToken = tokens.accessToken
  sessionStorage.setItem(key, tokens.refreshToken)
}

function forget() {
  accessToken = ''
  sessionStorage.removeItem(key)
}

// enter logs in, at users/authorize, or signs up, at users.
export const enter = async (path, body) => keep((await call('POST', path, {body})).data)

// logOut forgets the session in any case, and fails if the server could not be told.
export async function logOut() {
  const body = {refreshToken: refreshToken()}
  forget()
  await send('POST', 'users/logout', {body}).then(read).catch(({message}) => {
    throw new Failure(`you are logged out here, but not on the server, where your session will expire: ${message}`)
  })
}

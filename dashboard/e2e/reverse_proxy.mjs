// A reverse proxy with TLS, as nginx would be one: everything below a prefix goes to the brain, with or without the prefix.
import fs from 'node:fs'
import http from 'node:http'
import https from 'node:https'

/** Listens on `port` until it is closed. Where it `strips` the prefix, it tells the brain so. */
export async function startReverseProxy({ prefix, strips, port, brain, cert, key }) {
  const files = { cert: fs.readFileSync(cert), key: fs.readFileSync(key) }
  const server = https.createServer(files, (request, response) => {
    if (!request.url.startsWith(`${prefix}/`)) {
      response.writeHead(404, { 'content-type': 'text/plain' }).end('another service')
      return
    }
    const headers = {
      ...request.headers,
      host: 'brain.internal',
      'x-forwarded-for': request.socket.remoteAddress,
      'x-forwarded-proto': 'https',
      'x-forwarded-host': request.headers.host,
    }
    if (strips) headers['x-forwarded-prefix'] = prefix
    const path = strips ? request.url.slice(prefix.length) : request.url
    // A connection of its own for each request: one that is kept may be closed from the other end just when it is used again.
    const onward = http.request({ host: '127.0.0.1', port: brain, path, method: request.method, headers, agent: false }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers)
      answer.pipe(response)
    })
    onward.on('error', () => response.destroy())
    response.on('close', () => onward.destroy())
    request.pipe(onward)
  })
  // Longer than any test: of connections that close while the browser uses them again, it gives up after some.
  server.keepAliveTimeout = 600_000
  await new Promise((listening) => server.listen(port, '127.0.0.1', listening))
  return server
}

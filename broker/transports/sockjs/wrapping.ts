/**
 * How each HTTP transport of SockJS carries a frame in its response (sockjs-protocol 0.3.3, the sections of the
 * transports). Pure text; knows nothing of sessions.
 */

export interface Wrapping {
  readonly contentType: string
  /** Comes before the first frame, to get past what browsers and proxies hold back. */
  readonly prelude: string
  /** One frame and no more: the response ends with it. */
  readonly polling: boolean
  wrap(frame: string): string
}

const XHR_PRELUDE = `${'h'.repeat(2048)}\n`

const SCRIPT = 'application/javascript; charset=UTF-8'

export const xhrPolling: Wrapping = { contentType: SCRIPT, prelude: '', polling: true, wrap: (frame) => `${frame}\n` }

export const xhrStreaming: Wrapping = { ...xhrPolling, prelude: XHR_PRELUDE, polling: false }

export const eventSource: Wrapping = {
  contentType: 'text/event-stream',
  prelude: '\r\n',
  polling: false,
  // The client decodes it as a URI; JSON has escaped the line ends already
  wrap: (frame) => `data: ${frame.replaceAll('%', '%25')}\r\n\r\n`,
}

/** `callback` must be {@link isCallback}. */
export function jsonpPolling(callback: string): Wrapping {
  return {
    contentType: SCRIPT,
    prelude: '',
    polling: true,
    // The comment keeps the answer from being taken for another kind of file, whatever the callback's name is
    wrap: (frame) => `/**/${callback}(${JSON.stringify(frame)});\r\n`,
  }
}

/** Internet Explorer shows nothing of a page before it has 1 KiB of it. */
const HTML_FILE_OCTETS = 1024

/** `callback` must be {@link isCallback}. */
export function htmlFile(callback: string): Wrapping {
  const page = `<!doctype html>
<html><head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
</head><body><h2>Don't panic!</h2>
  <script>
    document.domain = document.domain;
    var c = parent.${callback};
    c.start();
    function p(d) {c.message(d);};
    window.onload = function() {c.stop();};
  </script>`
  return {
    contentType: 'text/html; charset=UTF-8',
    prelude: `${page.padEnd(HTML_FILE_OCTETS)}\r\n\r\n`,
    polling: false,
    // A message is other people's text: it must not be able to end the script it stands in
    wrap: (frame) => `<script>\np(${JSON.stringify(frame).replaceAll('<', '\\u003c')});\n</script>\r\n`,
  }
}

/** Whether a page may name its function so: it is written into a script. */
export function isCallback(name: string): boolean {
  return /^[\w.-]{1,64}$/.test(name)
}

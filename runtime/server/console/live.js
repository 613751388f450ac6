// The calls that are in progress, as they change: told by the gateway as it happens, or asked for again and again where the
// stream of events cannot be had (a proxy that keeps it, too many streams).

const POLL_MS = 3000;
const LIVE = ['initialized', 'running'];

/** Calls `changed(calls)` with what is live now and after every change, newest first, until `signal` ends it. */
export function watchCalls(api, signal, changed) {
  const calls = new Map();
  const tell = () => changed([...calls.values()].sort((left, right) => right.created_at.localeCompare(left.created_at)));
  const keep = (call) => {
    if (LIVE.includes(call.state)) calls.set(call.id, call);
    else calls.delete(call.id);
  };
  let polling = null;

  const poll = async () => {
    try {
      const lists = await Promise.all(LIVE.map((state) => api.list('/calls', 'calls', { parameters: { state }, signal })));
      calls.clear();
      lists.flat().forEach(keep);
      tell();
    } catch {
      // The next attempt may succeed; a session that has ended shows the sign-in anyway.
    }
    if (!signal.aborted && polling !== null) polling = setTimeout(poll, POLL_MS);
  };
  const fallBack = () => {
    if (polling === null && !signal.aborted) {
      polling = 0;
      poll();
    }
  };

  const source = new EventSource(api.address('/calls/live'));
  const listen = (name, take) => source.addEventListener(name, (event) => {
    try {
      take(JSON.parse(event.data));
    } catch {
      return;
    }
    // It works after all.
    clearTimeout(polling);
    polling = null;
    tell();
  });
  listen('snapshot', (list) => {
    calls.clear();
    (list.calls ?? list).forEach(keep);
  });
  listen('call', keep);
  listen('ended', (call) => calls.delete(call.id));
  // While it is closed the browser tries again by itself, unless the gateway refused.
  source.addEventListener('error', fallBack);
  signal.addEventListener('abort', () => {
    source.close();
    clearTimeout(polling);
    polling = null;
  });
}

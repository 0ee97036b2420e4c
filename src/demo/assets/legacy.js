// The script every page loads. Old, plain, and it never gives up: that is how legacy pages are.
(function () {
  'use strict';
  function show(element, text) { element.textContent = text; }

  document.querySelectorAll('[data-poll]').forEach(function (element) {
    function ask() {
      fetch(element.dataset.poll, { headers: { 'X-Requested-With': 'XMLHttpRequest' } })
        .then(function (answer) {
          if (!answer.ok) { throw new Error('answer ' + answer.status); }
          return answer.json();
        })
        .then(function (news) { show(element, news.text + ' (' + news.waiting + ' waiting)'); })
        .catch(function (problem) { show(element, 'no news: ' + problem.message); });
    }
    ask();
    setInterval(ask, 5000);
  });

  document.querySelectorAll('[data-socket]').forEach(function (element) {
    var scheme = location.protocol === 'https:' ? 'wss://' : 'ws://';
    var socket = new WebSocket(scheme + location.host + element.dataset.socket);
    socket.onmessage = function (message) { show(element, message.data); };
    socket.onclose = function () { show(element, 'line closed'); };
  });

  document.querySelectorAll('[data-events]').forEach(function (element) {
    var source = new EventSource(element.dataset.events);
    source.onmessage = function (message) { show(element, message.data); };
    source.onerror = function () { show(element, 'stream interrupted'); };
  });
})();

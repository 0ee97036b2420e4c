-- Asks Vestibule whether a request may go on, and in whose name.
--
--   http-request lua.vestibule GATEWAY PORTAL PRODUCT      the gateway's address, two hosts' names
--   http-request deny unless { var(txn.vestibule) -m str yes }
--
-- HAProxy goes on after an action that failed: only the second line makes anything but a clear yes
-- a no.

local PATIENCE_MS = 5000

-- What concerns one connection, and what is said anew.
local NOT_PASSED = {
  ["connection"] = true, ["content-length"] = true, ["transfer-encoding"] = true,
  ["upgrade"] = true, ["expect"] = true, ["te"] = true, ["host"] = true,
}

-- Copied from the answer; an empty one takes the browser's own away.
local COPIED = {
  "cookie", "x-forwarded-user", "x-forwarded-preferred-username", "x-forwarded-email",
  "x-forwarded-groups", "x-vestibule-person", "x-vestibule-company", "x-vestibule-session",
  "x-vestibule-amr", "x-vestibule-jwt-assertion",
}

local function first(headers, name)
  for _, value in pairs((headers or {})[name] or {}) do
    return value
  end
  return nil
end

local function refuse(txn, answer)
  local status = 503
  if answer and answer.status and answer.status >= 300 and answer.status < 600 then
    status = answer.status
  end
  local reply = txn:reply({ status = status })
  reply:add_header("cache-control", "no-store")
  for _, name in ipairs({ "location", "content-type", "content-security-policy", "retry-after" }) do
    local value = answer and first(answer.headers, name)
    if value then
      reply:add_header(name, value)
    end
  end
  for _, value in pairs(answer and answer.headers and answer.headers["set-cookie"] or {}) do
    reply:add_header("set-cookie", value)
  end
  if answer and answer.body then
    reply:set_body(answer.body)
  end
  txn:done(reply)
end

core.register_action("vestibule", { "http-req" }, function(txn, gateway, portal, product)
  local asked = { host = { portal } }
  for name, values in pairs(txn.http:req_get_headers()) do
    if not NOT_PASSED[name] then
      asked[name] = {}
      for _, value in pairs(values) do
        table.insert(asked[name], value)
      end
    end
  end
  asked["x-forwarded-method"] = { txn.f:method() }
  asked["x-forwarded-host"] = { product }
  asked["x-forwarded-uri"] = { txn.f:pathq() }
  asked["x-forwarded-for"] = { tostring(txn.f:src()) }

  local answer = core.httpclient():get({
    url = gateway .. "/api/authz/traefik",
    headers = asked,
    timeout = PATIENCE_MS,
  })
  if not answer or answer.status ~= 200 then
    return refuse(txn, answer)
  end
  for _, name in ipairs(COPIED) do
    local value = first(answer.headers, name)
    if value and value ~= "" then
      txn.http:req_set_header(name, value)
    else
      txn.http:req_del_header(name)
    end
  end
  txn:set_var("txn.vestibule", "yes")
end, 3)

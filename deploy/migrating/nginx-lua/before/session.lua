-- The sign-in page (an application of its own) has written session:SID with user and roles.
local redis = require("resty.redis"):new()
redis:set_timeouts(100, 100, 100)
if not redis:connect("127.0.0.1", 6379) then
  return ngx.exit(ngx.HTTP_SERVICE_UNAVAILABLE)
end

local key = "session:" .. (ngx.var.cookie_sid or "")
local session = redis:array_to_hash(redis:hgetall(key) or {})
if not session.user then
  if ngx.var.http_x_requested_with == "XMLHttpRequest" then
    return ngx.exit(ngx.HTTP_UNAUTHORIZED)
  end
  local back = "https://" .. ngx.var.host .. ngx.var.request_uri
  return ngx.redirect("https://login.example.org/?rd=" .. ngx.escape_uri(back))
end

redis:expire(key, 7200) -- two hours without a request
redis:set_keepalive(10000, 100)

local wanted = ngx.var.wanted_role
if wanted and not (("," .. session.roles .. ","):find("," .. wanted .. ",", 1, true)) then
  return ngx.exit(ngx.HTTP_FORBIDDEN)
end

ngx.req.set_header("X-User", session.user)
ngx.req.set_header("X-Roles", session.roles)

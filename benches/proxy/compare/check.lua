-- The gateway's check in nginx: a session's cookie, the hash of its secret beside the one that
-- Redis keeps, the end of the session, and the identity for the backend. Left out, to nginx's
-- advantage: idle ends and when somebody was last seen, policy, the signed assertion, metrics.

local base64 = require "ngx.base64"
local cjson = require "cjson.safe"
local ffi = require "ffi"

local ok, redis = pcall(require, "resty.redis")
if not ok then
    redis = require "nginx.redis"
end

ffi.cdef [[
unsigned char *SHA256(const unsigned char *d, size_t n, unsigned char *md);
]]

local COOKIE = [[(?:^|;)[ \t]*__Host-vestibule=([A-Za-z0-9_-]{22})\.([A-Za-z0-9_-]{43})[ \t]*(?=;|$)]]
local OURS = [[(?:^|;)[ \t]*__Host-vestibule[^;=]*=[^;]*]]
local LOGIN = "https://login.localhost/login"
local POOL = 64
local IDLE = 60 * 1000
local PATIENCE = 1000
local REMEMBERED = 1

local digest = ffi.new("unsigned char[32]")
local remembered = ngx.shared.sessions

local function hash(secret)
    local bytes = base64.decode_base64url(secret)
    if not bytes then
        return nil
    end
    ffi.C.SHA256(bytes, #bytes, digest)
    return base64.encode_base64url(ffi.string(digest, 32))
end

-- The session's id, the hash of the secret, and what other cookies there are.
local function presented()
    local line = ngx.var.http_cookie
    if not line then
        return nil
    end
    local found = ngx.re.match(line, COOKIE, "jo")
    if not found then
        return nil
    end
    local rest, count = ngx.re.gsub(line, OURS, "", "jo")
    -- Twice: one of the two may be planted.
    if count ~= 1 then
        return nil
    end
    if rest:byte(1) == 59 then
        rest = ngx.re.sub(rest, [[^;[ \t]*]], "", "jo")
    end
    return found[1], hash(found[2]), rest
end

-- Returns the session, or nil and whether Redis could be asked.
local function ask(id)
    local client = redis:new()
    client:set_timeout(PATIENCE)
    local connected, why = client:connect("127.0.0.1", @redis@)
    if not connected then
        ngx.log(ngx.ERR, "redis: ", why)
        return nil, false
    end
    local values, err = client:hmget("vestibule:s:{" .. id .. "}", "r", "e")
    if not values then
        ngx.log(ngx.ERR, "redis: ", err)
        client:close()
        return nil, false
    end
    client:set_keepalive(IDLE, POOL)
    if values[1] == ngx.null or values[2] == ngx.null then
        return nil, true
    end
    local record = cjson.decode(values[1])
    local entry = record and record.id == id and record.entries.emr
    if not entry then
        return nil, true
    end
    return {
        token = entry.token,
        ends = tonumber(values[2]),
        user = entry.login,
        name = record.person.name,
        email = record.person.email,
        groups = table.concat(record.person.roles, ","),
        person = record.person.id,
        company = record.company,
        amr = table.concat(record.methods, ","),
    }, true
end

local function remember(id)
    local kept = remembered:get(id)
    if kept then
        return cjson.decode(kept), true
    end
    local session, asked = ask(id)
    if session then
        remembered:set(id, cjson.encode(session), REMEMBERED)
    end
    return session, asked
end

local function refuse()
    if ngx.var.http_sec_fetch_mode == "navigate" then
        return ngx.redirect(LOGIN, 302)
    end
    return ngx.exit(401)
end

local function admit(find)
    local id, hashed, rest = presented()
    if not id or not hashed then
        return refuse()
    end
    local session, asked = find(id)
    if not asked then
        return ngx.exit(503)
    end
    if not session or session.token ~= hashed or session.ends <= ngx.now() * 1000 then
        return refuse()
    end
    local var = ngx.var
    var.decision = "allow"
    var.rest = rest
    var.user = session.user
    var.name = session.name
    var.email = session.email
    var.groups = session.groups
    var.person = session.person
    var.company = session.company
    var.session = id
    var.amr = session.amr
end

local check = {}

function check.asking()
    return admit(ask)
end

function check.remembering()
    return admit(remember)
end

return check

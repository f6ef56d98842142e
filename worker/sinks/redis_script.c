#include "redis_script.h"

#include <openssl/evp.h>
#include <stdio.h>

/* The order matters. Redis looks at maxmemory before the first write of a script and not again. An
 * error that ended the script would leave what was written before it, so every call is protected
 * (pcall), and whatever may be refused is refused before anything counts:
 *
 *   reading       types that are wrong, a fence, a mark that is there
 *   HSETNX job    the first write: maxmemory, and whether the user may HSETNX at all; it leaves only
 *                 the number of the job
 *   the rows      when the first is refused (an ACL that forbids the command) nothing was written
 *   HSETNX mark   cannot be refused any more
 *   the rest      if it is refused, the answer says so: the rows are there and count
 *
 * All keys are in KEYS, so that an ACL or a cluster that moves their slot refuses the call as a
 * whole. */
const char redis_script_land[] =
    "local K, V, call = KEYS, ARGV, redis.pcall\n"
    "local ledger, job, mode, n, ttl = K[1], K[2], V[1], tonumber(V[3]), tonumber(V[5])\n"
    "local mark = V[9] .. ':' .. V[2]\n"
    "local note = ''\n"
    "local function bad(r) return type(r) == 'table' and r.err end\n"
    "local function wrong(r) return string.find(r.err, 'WRONGTYPE', 1, true) end\n"
    "local function keep(r)\n"
    "  if bad(r) and note == '' then note = r.err end\n"
    "  return r\n"
    "end\n"
    "local function typed(key, want)\n"
    "  local t = call('TYPE', key)\n"
    "  if bad(t) then return t end\n"
    "  if t.ok ~= 'none' and t.ok ~= want then\n"
    "    return {4, 'the key ' .. key .. ' holds a ' .. t.ok .. ' that is not of this job'}\n"
    "  end\n"
    "end\n"
    "local fenced = call('HGET', job, 'fenced')\n"
    "if bad(fenced) then return fenced end\n"
    "if fenced and tonumber(V[4]) <= tonumber(fenced) then return {3, fenced} end\n"
    "local had = call('HGET', ledger, mark)\n"
    "if bad(had) then return had end\n"
    "if had then return {2} end\n"
    "if mode ~= 'hash' or V[8] == '1' then\n"
    "  for k = 3, #K do\n"
    "    local no = typed(K[k], mode)\n"
    "    if no then return no end\n"
    "  end\n"
    "end\n"
    "local first = call('HSETNX', job, 'job', V[6])\n"
    "if bad(first) then return first end\n"
    "local answer, wrote = {1, n, ''}, false\n"
    "local function refuse(i, r)\n"
    "  answer[#answer + 1] = i\n"
    "  answer[#answer + 1] = r.err\n"
    "end\n"
    "if mode == 'hash' then\n"
    "  local un = cmsgpack.unpack\n"
    "  for k = 3, #K do\n"
    "    local r = call('HSET', K[k], un(V[k + 7]))\n"
    "    if type(r) == 'table' then\n"
    "      if not wrote and not wrong(r) then return r end\n"
    "      refuse(k - 3, r)\n"
    "    else\n"
    "      wrote = true\n"
    "      if ttl > 0 then keep(call('PEXPIRE', K[k], ttl)) end\n"
    "    end\n"
    "  end\n"
    "elseif mode == 'stream' then\n"
    "  local un = cmsgpack.unpack\n"
    "  for i = 10, #V do\n"
    "    local r = call('XADD', K[3], '*', un(V[i]))\n"
    "    if type(r) == 'table' then\n"
    "      if not wrote then return r end\n"
    "      refuse(i - 10, r)\n"
    "    else\n"
    "      wrote = true\n"
    "    end\n"
    "  end\n"
    "else\n"
    "  for i = 10, #V, 4000 do\n" /* unpack puts no more than 8,000 on Lua's stack */
    "    local last = math.min(i + 3999, #V)\n"
    "    local r = call('RPUSH', K[3], unpack(V, i, last))\n"
    "    if type(r) == 'table' then\n"
    "      if not wrote then return r end\n"
    "      for j = i, last do refuse(j - 10, r) end\n"
    "    else\n"
    "      wrote = true\n"
    "    end\n"
    "  end\n"
    "end\n"
    "n = n - (#answer - 3) / 2\n"
    "answer[2] = n\n"
    "keep(call('HSETNX', ledger, mark, n))\n"
    "local function number(r) return type(r) == 'number' and string.format('%.0f', r) or '0' end\n"
    "local rows = number(keep(call('HINCRBY', job, 'rows', n)))\n"
    "local tasks = number(keep(call('HLEN', ledger)))\n"
    "local t = keep(call('TIME'))\n"
    "local ms = bad(t) and '0' or t[1] .. string.format('%03d', math.floor(t[2] / 1000))\n"
    "keep(call('HSET', job, 'state', 'open', 'tasks', tasks, 'updated_ms', ms))\n"
    "if ttl > 0 then\n"
    "  keep(call('PEXPIRE', ledger, ttl))\n"
    "  keep(call('PEXPIRE', job, fenced and math.max(ttl, 86400000) or ttl))\n"
    "  if mode ~= 'hash' and wrote then keep(call('PEXPIRE', K[3], ttl)) end\n"
    "end\n"
    "keep(call('PUBLISH', V[7], '{\"state\":\"open\",\"job\":' .. V[6] .. ',\"task\":' .. V[2] ..\n"
    "  ',\"task_rows\":' .. number(n) .. ',\"tasks\":' .. tasks .. ',\"rows\":' .. rows .. '}'))\n"
    "answer[3] = note\n"
    "return answer\n";

/* A fence outlives the time to live by far, because a worker that was stopped may wake after it. */
const char redis_script_end[] =
    "local job, generation, ttl = KEYS[1], ARGV[2], tonumber(ARGV[4])\n"
    "local fenced = redis.call('HGET', job, 'fenced')\n"
    "local t = redis.call('TIME')\n"
    "local ms = t[1] .. string.format('%03d', math.floor(t[2] / 1000))\n"
    "if ARGV[3] == '1' and not (fenced and tonumber(generation) <= tonumber(fenced)) then\n"
    "  fenced = generation\n"
    "end\n"
    "if fenced then\n"
    "  redis.call('HSET', job, 'state', ARGV[1], 'updated_ms', ms, 'fenced', fenced)\n"
    "else\n"
    "  redis.call('HSET', job, 'state', ARGV[1], 'updated_ms', ms)\n"
    "end\n"
    "if ttl > 0 then redis.call('PEXPIRE', job, fenced and math.max(ttl, 86400000) or ttl) end\n"
    "local had = redis.call('HMGET', job, 'job', 'tasks', 'rows')\n"
    "redis.call('PUBLISH', ARGV[5], '{\"state\":\"' .. ARGV[1] ..\n"
    "  '\",\"job\":' .. (had[1] or 'null') ..\n"
    "  ',\"tasks\":' .. (had[2] or '0') .. ',\"rows\":' .. (had[3] or '0') .. '}')\n"
    "return 1\n";

void redis_script_sha(const char *text, char ret[REDIS_SCRIPT_SHA_LEN + 1])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    ret[0] = '\0';
    if (EVP_Digest(text, strlen(text), digest, &n, EVP_sha1(), NULL) != 1)
        return; /* no EVALSHA will find it: SCRIPT LOAD says so */
    for (unsigned i = 0; i < n && 2 * i < REDIS_SCRIPT_SHA_LEN; i++)
        snprintf(ret + 2 * i, 3, "%02x", digest[i]);
}

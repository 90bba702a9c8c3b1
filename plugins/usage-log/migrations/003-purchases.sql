alter table usage_log_exchanges
  -- What was bought besides tokens, `[{item, quantity, cost_micros}]`; its cost is part of `cost_micros`. Null if nothing was.
  add column purchases jsonb;

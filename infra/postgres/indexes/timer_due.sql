create index timer_due on timer (service, due, key);

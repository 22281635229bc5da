MODEL (name staging.judged_events, kind FULL);

@judged_events();

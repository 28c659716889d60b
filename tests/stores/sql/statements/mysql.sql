-- OrmStore: read
SELECT `id`, `key`, `version`, `user_id`, `actor_id`, `ip_address`, `user_agent`, `created_at`, `authenticated_at`, `last_seen_at`, `expires_at`, `payload` FROM `django_multistore_storedsession` WHERE `key` = %(key)s;

-- OrmStore: read_for_update
SELECT `id`, `key`, `version`, `user_id`, `actor_id`, `ip_address`, `user_agent`, `created_at`, `authenticated_at`, `last_seen_at`, `expires_at`, `payload` FROM `django_multistore_storedsession` WHERE `key` = %(key)s FOR UPDATE;

-- OrmStore: create
INSERT IGNORE INTO `django_multistore_storedsession` (`id`, `key`, `payload`, `version`, `user_id`, `created_at`, `authenticated_at`, `last_seen_at`, `expires_at`, `ip_address`, `user_agent`, `actor_id`) VALUES (%(id)s, %(key)s, FROM_BASE64(%(payload)s), %(version)s, %(user_id)s, %(created_at)s, %(authenticated_at)s, %(last_seen_at)s, %(expires_at)s, %(ip_address)s, %(user_agent)s, %(actor_id)s);

-- OrmStore: update
UPDATE `django_multistore_storedsession` SET `last_seen_at` = %(last_seen_at)s, `expires_at` = %(expires_at)s, `ip_address` = %(ip_address)s, `user_agent` = %(user_agent)s, `payload` = FROM_BASE64(%(payload)s), `user_id` = %(user_id)s, `authenticated_at` = %(authenticated_at)s, `actor_id` = %(actor_id)s, `version` = `version` + 1 WHERE `key` = %(old_key)s AND `expires_at` > %(now)s AND `version` = %(version)s;

-- OrmStore: rotate
UPDATE `django_multistore_storedsession` SET `last_seen_at` = %(last_seen_at)s, `expires_at` = %(expires_at)s, `ip_address` = %(ip_address)s, `user_agent` = %(user_agent)s, `payload` = FROM_BASE64(%(payload)s), `user_id` = %(user_id)s, `authenticated_at` = %(authenticated_at)s, `actor_id` = %(actor_id)s, `version` = `version` + 1, `key` = %(key)s WHERE `key` = %(old_key)s AND `expires_at` > %(now)s AND `version` = %(version)s;

-- OrmStore: overwrite
UPDATE `django_multistore_storedsession` SET `last_seen_at` = %(last_seen_at)s, `expires_at` = %(expires_at)s, `ip_address` = %(ip_address)s, `user_agent` = %(user_agent)s, `payload` = FROM_BASE64(%(payload)s), `user_id` = %(user_id)s, `authenticated_at` = %(authenticated_at)s, `actor_id` = %(actor_id)s, `version` = `version` + 1, `key` = %(key)s WHERE `key` = %(old_key)s AND `expires_at` > %(now)s;

-- OrmStore: touch
UPDATE `django_multistore_storedsession` SET `last_seen_at` = GREATEST(`last_seen_at`, %(last_seen_at)s), `expires_at` = GREATEST(`expires_at`, %(expires_at)s), `ip_address` = %(ip_address)s, `user_agent` = %(user_agent)s WHERE `key` = %(old_key)s AND `expires_at` > %(now)s AND `version` = %(version)s;

-- OrmStore: destroy
DELETE FROM `django_multistore_storedsession` WHERE `key` = %(key)s;

-- OrmStore: sessions_for_user
SELECT `id`, `key`, `version`, `user_id`, `actor_id`, `ip_address`, `user_agent`, `created_at`, `authenticated_at`, `last_seen_at`, `expires_at` FROM `django_multistore_storedsession` WHERE `user_id` = %(user_id)s AND `expires_at` > GREATEST(CAST(%(now)s AS DATETIME(6)), UTC_TIMESTAMP(6));

-- OrmStore: sessions_for_user_locked
SELECT `id`, `key`, `version`, `user_id`, `actor_id`, `ip_address`, `user_agent`, `created_at`, `authenticated_at`, `last_seen_at`, `expires_at` FROM `django_multistore_storedsession` WHERE `user_id` = %(user_id)s AND `expires_at` > GREATEST(CAST(%(now)s AS DATETIME(6)), UTC_TIMESTAMP(6)) FOR UPDATE;

-- OrmStore: page_for_user
SELECT `id`, `key`, `version`, `user_id`, `actor_id`, `ip_address`, `user_agent`, `created_at`, `authenticated_at`, `last_seen_at`, `expires_at` FROM `django_multistore_storedsession` WHERE `user_id` = %(user_id)s AND `expires_at` > %(now)s ORDER BY `last_seen_at` DESC, `id` DESC LIMIT %(size)s OFFSET %(start)s;

-- OrmStore: count_for_user
SELECT COUNT(*) FROM `django_multistore_storedsession` WHERE `user_id` = %(user_id)s AND `expires_at` > %(now)s;

-- OrmStore: destroy_for_user
DELETE FROM `django_multistore_storedsession` WHERE `user_id` = %(user_id)s AND `key` <> %(except_key)s;

-- OrmStore: destroy_session
DELETE FROM `django_multistore_storedsession` WHERE `user_id` = %(user_id)s AND `id` = %(id)s;

-- OrmStore: make_way
DELETE FROM `django_multistore_storedsession` WHERE (`key` = %(key)s OR `id` = %(id)s) AND `expires_at` <= %(now)s;

-- OrmStore: retire
DELETE FROM `django_multistore_storedsession` WHERE `key` = %(key)s AND `version` = %(version)s;

-- OrmStore: scan
SELECT `id`, `key`, `version`, `user_id`, `actor_id`, `ip_address`, `user_agent`, `created_at`, `authenticated_at`, `last_seen_at`, `expires_at`, `payload` FROM `django_multistore_storedsession` WHERE `id` > %(after_id)s AND `expires_at` > %(now)s ORDER BY `id` LIMIT %(size)s;

-- OrmStore: count_expired
SELECT COUNT(*) FROM `django_multistore_storedsession` WHERE `expires_at` <= %(now)s;

-- OrmStore: gc_last
SELECT `expires_at`, `id` FROM `django_multistore_storedsession` WHERE `expires_at` >= %(after_expiry)s AND (`expires_at` > %(after_expiry)s OR (`expires_at` = %(after_expiry)s AND `id` > %(after_id)s)) AND `expires_at` <= %(now)s ORDER BY `expires_at`, `id` LIMIT 1 OFFSET %(skipped)s;

-- OrmStore: gc
DELETE FROM `django_multistore_storedsession` WHERE `expires_at` >= %(after_expiry)s AND (`expires_at` > %(after_expiry)s OR (`expires_at` = %(after_expiry)s AND `id` > %(after_id)s)) AND `expires_at` <= %(last_expiry)s AND (`expires_at` < %(last_expiry)s OR (`expires_at` = %(last_expiry)s AND `id` <= %(last_id)s));

-- OrmStore: gc_extent
SELECT DATA_LENGTH DIV @@innodb_page_size FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = %(name)s AND ENGINE = 'InnoDB';

-- OrmStore: gc_last_id
SELECT `id` FROM `django_multistore_storedsession` FORCE INDEX (PRIMARY) WHERE `id` > %(after_id)s ORDER BY `id` LIMIT 1 OFFSET %(skipped)s;

-- OrmStore: gc_ids
DELETE `django_multistore_storedsession` FROM ( SELECT `id` AS expired_id FROM `django_multistore_storedsession` FORCE INDEX (PRIMARY) WHERE `id` > %(after_id)s AND `id` <= %(last_id)s AND `expires_at` <= %(now)s LIMIT %(size)s FOR UPDATE SKIP LOCKED) AS expired STRAIGHT_JOIN `django_multistore_storedsession` FORCE INDEX (PRIMARY) ON `django_multistore_storedsession`.`id` = expired_id WHERE `django_multistore_storedsession`.`expires_at` <= %(now)s;

-- index: insert
INSERT IGNORE INTO `django_multistore_usersession` (`id`, `key`, `previous_key`, `store`, `user_id`, `created_at`, `authenticated_at`, `last_seen_at`, `expires_at`, `ip_address`, `user_agent`, `actor_id`) VALUES (%(id)s, %(key)s, %(previous_key)s, %(store)s, %(user_id)s, %(created_at)s, %(authenticated_at)s, %(last_seen_at)s, %(expires_at)s, %(ip_address)s, %(user_agent)s, %(actor_id)s);

-- index: refresh
UPDATE `django_multistore_usersession` SET `authenticated_at` = %(authenticated_at)s, `last_seen_at` = %(last_seen_at)s, `expires_at` = %(expires_at)s, `ip_address` = %(ip_address)s, `user_agent` = %(user_agent)s, `actor_id` = %(actor_id)s WHERE `user_id` = %(user_id)s AND `store` = %(store)s AND `key` = %(key)s;

-- index: move
UPDATE `django_multistore_usersession` SET `authenticated_at` = %(authenticated_at)s, `last_seen_at` = %(last_seen_at)s, `expires_at` = %(expires_at)s, `ip_address` = %(ip_address)s, `user_agent` = %(user_agent)s, `actor_id` = %(actor_id)s, `key` = %(key)s, `previous_key` = %(old_key)s WHERE `user_id` = %(user_id)s AND `store` = %(store)s AND `key` = %(old_key)s;

-- index: remove
DELETE FROM `django_multistore_usersession` WHERE `user_id` = %(user_id)s AND `store` = %(store)s AND `key` = %(key)s;

-- index: withdraw
DELETE FROM `django_multistore_usersession` WHERE `user_id` = %(user_id)s AND `store` = %(store)s AND `key` = %(key)s AND `id` = %(id)s;

-- index: confirm
SELECT `row_id` FROM `django_multistore_usersession` WHERE `user_id` = %(user_id)s AND `store` = %(store)s AND `key` = %(key)s;

-- index: rows_of_user
SELECT `row_id`, `id`, `key`, `previous_key`, `user_id`, `last_seen_at`, `expires_at`, `store` FROM `django_multistore_usersession` WHERE `user_id` = %(user_id)s AND `store` = %(store)s;

-- index: remove_rows
DELETE FROM `django_multistore_usersession` WHERE `row_id` IN (%s, %s) AND `key` IN (%s, %s);

-- index: remove_rows, expired
DELETE FROM `django_multistore_usersession` WHERE `row_id` IN (%s, %s) AND `key` IN (%s, %s) AND `expires_at` <= %s;

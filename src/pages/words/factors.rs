//! Second factors: setting them up, proving them, and My Profile's pages about them.

use super::words;

words! {
    // The first factor: a QR code.
    set_up_mfa
        en "Set up multi-factor authentication"
        es "Configurar la autenticación multifactor"
    set_up_your_app
        en "Set up your authenticator app"
        es "Configure su aplicación de autenticación"
    company_asks_second_proof
        en "Your company asks for a second proof besides the password."
        es "Su empresa pide una segunda verificación además de la contraseña."
    open_app_on_phone
        en "Open an authenticator app on your phone."
        es "Abra una aplicación de autenticación en su teléfono."
    add_by_key
        en "Add an account by typing the key shown here."
        es "Añada una cuenta escribiendo la clave que se muestra aquí."
    scan_qr_code
        en "Scan this QR code with it."
        es "Escanee este código QR con ella."
    type_digits_of_app
        en "Type the 6 digits that the app shows."
        es "Escriba los 6 dígitos que muestra la aplicación."
    key_account(account: &str)
        en "Account: {account}"
        es "Cuenta: {account}"
    key_time_based
        en "Key, time-based:"
        es "Clave, basada en el tiempo:"
    show_qr_code
        en "Show the QR code instead"
        es "Mostrar el código QR"
    qr_code_label
        en "QR code for your authenticator app"
        es "Código QR para su aplicación de autenticación"
    trouble_scanning
        en "Trouble Scanning?"
        es "¿Problemas para escanear?"

    // Another authenticator app, or a first one beside other factors.
    set_up_app
        en "Set up an authenticator app"
        es "Configurar una aplicación de autenticación"
    replace_app
        en "Replace your authenticator app"
        es "Reemplazar su aplicación de autenticación"
    replace_app_lead
        en "The old one works until the new one has shown its first code."
        es "La anterior funciona hasta que la nueva haya mostrado su primer código."
    set_up_app_lead
        en "It can prove you at each sign-in, beside what you have already."
        es "Podrá verificar su identidad en cada inicio de sesión, además de lo que ya tiene."
    open_new_app
        en "Open the new authenticator app."
        es "Abra la nueva aplicación de autenticación."
    open_app
        en "Open an authenticator app."
        es "Abra una aplicación de autenticación."
    type_digits_of_new_app
        en "Type the 6 digits that the new app shows."
        es "Escriba los 6 dígitos que muestra la nueva aplicación."
    keep_the_old_one
        en "Keep the old one"
        es "Conservar la anterior"

    // Typing a code.
    one_time_code
        en "One-time code"
        es "Código de un solo uso"
    enter_your_code
        en "Enter your code"
        es "Escriba su código"
    open_app_for(issuer: &str)
        en "Open the authenticator app on your phone and type the code it shows for {issuer}."
        es "Abra la aplicación de autenticación en su teléfono y escriba el código que muestra para {issuer}."
    digits_of_app_now
        en "The 6 digits that the app shows now."
        es "Los 6 dígitos que muestra ahora la aplicación."
    digits_of_your_app_now
        en "The 6 digits that your authenticator app shows now."
        es "Los 6 dígitos que muestra ahora su aplicación de autenticación."
    digits_of_newest_message
        en "The 6 digits of the newest message."
        es "Los 6 dígitos del mensaje más reciente."
    verify
        en "Verify"
        es "Verificar"
    type_the_digits
        en "Type the 6 digits of the code."
        es "Escriba los 6 dígitos del código."
    app_code_wrong
        en "That code is not right. Wait for the next one and try again."
        es "El código no es correcto. Espere al siguiente e inténtelo de nuevo."
    sent_code_wrong
        en "That code is not right. Only the newest code works, and only once."
        es "El código no es correcto. Solo funciona el código más reciente, y una sola vez."
    remember_device_for(span: &str)
        en "Remember this device for {span}"
        es "Recordar este dispositivo durante {span}"
    remember_device_hint
        en "Only on a device of your own: your password is enough there next time."
        es "Solo en un dispositivo suyo: la próxima vez bastará allí con su contraseña."

    // Choosing a method.
    try_another_method
        en "Try another method"
        es "Probar otro método"
    back_to_method(method: &str)
        en "Back to: {method}"
        es "Volver a: {method}"
    your_company_offers
        en "Your company offers:"
        es "Su empresa ofrece:"
    without_any_of_these
        en "Without any of these: ask your user manager to reset your multi-factor authentication."
        es "Si no tiene ninguno: pida a su administrador de usuarios que restablezca su autenticación multifactor."
    method_app
        en "Authenticator app"
        es "Aplicación de autenticación"
    method_app_about
        en "A one-time code from an app on your phone"
        es "Un código de un solo uso de una aplicación de su teléfono"
    method_sms
        en "SMS"
        es "SMS"
    method_sms_about
        en "A one-time code in a text message"
        es "Un código de un solo uso en un mensaje de texto"
    method_email_about
        en "A one-time code in a mail"
        es "Un código de un solo uso en un correo"
    method_passkey
        en "Passkey"
        es "Llave de acceso"
    method_passkey_about
        en "Your fingerprint, face or screen lock, or a security key"
        es "Su huella, su cara, el bloqueo de pantalla o una llave de seguridad"
    method_recovery
        en "Recovery code"
        es "Código de recuperación"
    method_recovery_about
        en "One of the codes that you kept"
        es "Uno de los códigos que usted guardó"
    kind_sms
        en "Text message (SMS)"
        es "Mensaje de texto (SMS)"
    number_ending_in(digits: &str)
        en "to the number ending in {digits}"
        es "al número terminado en {digits}"
    address_masked(address: &str)
        en "to {address}"
        es "a {address}"
    kind_email
        en "E-mail"
        es "Correo electrónico"

    // Codes by message.
    get_codes_by_sms
        en "Get codes by text message"
        es "Recibir códigos por mensaje de texto"
    get_codes_by_mail
        en "Get codes by mail"
        es "Recibir códigos por correo"
    get_code_by_sms
        en "Get a code by text message"
        es "Recibir un código por mensaje de texto"
    get_code_by_mail
        en "Get a code by mail"
        es "Recibir un código por correo"
    sms_at_each_sign_in
        en "At each sign-in you get a text message with a one-time code. First we check that it reaches you."
        es "En cada inicio de sesión recibirá un mensaje de texto con un código de un solo uso. Primero comprobamos que le llegue."
    mail_at_each_sign_in
        en "At each sign-in you get a mail with a one-time code. First we check that it reaches you."
        es "En cada inicio de sesión recibirá un correo con un código de un solo uso. Primero comprobamos que le llegue."
    we_send_sms
        en "We send you a text message with a one-time code."
        es "Le enviamos un mensaje de texto con un código de un solo uso."
    we_send_mail
        en "We send you a mail with a one-time code."
        es "Le enviamos un correo con un código de un solo uso."
    another_number_for_codes
        en "Another number for codes"
        es "Otro número para los códigos"
    another_address_for_codes
        en "Another address for codes"
        es "Otra dirección para los códigos"
    we_send_code_once
        en "We send you a one-time code. Once it is typed, you can log in with such codes."
        es "Le enviamos un código de un solo uso. Cuando lo haya escrito, podrá iniciar sesión con esos códigos."
    we_send_code_there
        en "We send a one-time code there. Once it is typed, codes go there only; until then all stays as it is."
        es "Enviamos allí un código de un solo uso. Cuando lo haya escrito, los códigos irán solo allí; hasta entonces todo queda como está."
    code_goes_to_number(digits: &str)
        en "The code goes to the number ending in {digits}."
        es "El código se envía al número terminado en {digits}."
    code_goes_to_address(address: &str)
        en "The code goes to {address}."
        es "El código se envía a {address}."
    mobile_number
        en "Mobile number"
        es "Número de teléfono móvil"
    another_mobile_number
        en "Another mobile number"
        es "Otro número de teléfono móvil"
    mail_address
        en "Mail address"
        es "Dirección de correo"
    another_mail_address
        en "Another mail address"
        es "Otra dirección de correo"
    mobile_number_hint
        en "With its area code, such as 555 010 0001."
        es "Con su código de área, como 555 010 0001."
    mail_address_hint
        en "One that you can read now."
        es "Una que pueda leer ahora."
    type_mobile_number
        en "Type a mobile number with its area code, such as 555 010 0001."
        es "Escriba un número de teléfono móvil con su código de área, como 555 010 0001."
    type_mail_address
        en "Type a mail address, such as kim@example.org."
        es "Escriba una dirección de correo, como kim@example.org."
    numbers_begin_with(prefixes: &str)
        en "Codes go to numbers that begin with {prefixes} only."
        es "Los códigos solo se envían a números que empiezan por {prefixes}."
    send_code
        en "Send code"
        es "Enviar código"
    send_another_code
        en "Send another code"
        es "Enviar otro código"
    nothing_there_yet
        en "Nothing there yet?"
        es "¿Todavía no ha llegado?"
    another_can_be_sent_in(span: &str)
        en "Nothing there yet? Another can be sent in {span}."
        es "¿Todavía no ha llegado? Se puede enviar otro en {span}."
    another_code_in(span: &str)
        en "Another code can be sent in {span}."
        es "Se puede enviar otro código en {span}."
    another_code_or_method_in(span: &str)
        en "Another code can be sent in {span}. Until then, try another method."
        es "Se puede enviar otro código en {span}. Mientras tanto, pruebe otro método."
    sms_sent_to_number(digits: &str)
        en "We sent a text message with a code to the number ending in {digits}."
        es "Enviamos un mensaje de texto con un código al número terminado en {digits}."
    mail_sent_to(place: &str)
        en "We sent a mail with a code to {place}."
        es "Enviamos un correo con un código a {place}."
    sms_sent_to_you
        en "We sent you a text message with a code."
        es "Le enviamos un mensaje de texto con un código."
    mail_sent_to_you
        en "We sent you a mail with a code."
        es "Le enviamos un correo con un código."
    use_another_number
        en "Use another number"
        es "Usar otro número"
    use_another_address
        en "Use another address"
        es "Usar otra dirección"
    message_not_sent
        en "The message could not be sent just now. Try again, or try another method."
        es "El mensaje no se pudo enviar en este momento. Inténtelo de nuevo o pruebe otro método."

    // Passkeys.
    set_up_a_passkey
        en "Set up a passkey"
        es "Configurar una llave de acceso"
    set_up_passkey
        en "Set up passkey"
        es "Configurar llave de acceso"
    set_up_passkey_lead
        en "Your company asks for a second proof besides the password: your fingerprint, your face, your screen lock, or a security key."
        es "Su empresa pide una segunda verificación además de la contraseña: su huella, su cara, el bloqueo de pantalla o una llave de seguridad."
    use_your_passkey
        en "Use your passkey"
        es "Use su llave de acceso"
    use_passkey
        en "Use passkey"
        es "Usar llave de acceso"
    use_passkey_lead
        en "Confirm with your fingerprint, your face, your screen lock, or your security key."
        es "Confirme con su huella, su cara, el bloqueo de pantalla o su llave de seguridad."
    add_a_passkey
        en "Add a passkey"
        es "Añadir una llave de acceso"
    add_passkey
        en "Add passkey"
        es "Añadir llave de acceso"
    add_passkey_lead
        en "With it you log in by your fingerprint, your face, your screen lock, or a security key."
        es "Con ella inicia sesión con su huella, su cara, el bloqueo de pantalla o una llave de seguridad."
    passkey_known
        en "This device holds a passkey of yours already. You can log in with it."
        es "Este dispositivo ya guarda una llave de acceso suya. Puede iniciar sesión con ella."
    passkey_failed
        en "The passkey was not confirmed. Press the button to try again."
        es "La llave de acceso no se confirmó. Pulse el botón para intentarlo de nuevo."
    passkey_failed_or_other
        en "The passkey was not confirmed. Press the button to try again, or try another method."
        es "La llave de acceso no se confirmó. Pulse el botón para intentarlo de nuevo o pruebe otro método."
    passkey_needs_script
        en "This page needs JavaScript and a browser that knows passkeys."
        es "Esta página necesita JavaScript y un navegador que admita llaves de acceso."
    please_try_another_method
        en "Please try another method."
        es "Pruebe otro método."
    passkey_name
        en "Name of this passkey"
        es "Nombre de esta llave de acceso"
    passkey_name_hint
        en "So that you know it again in My Profile, such as “My phone”."
        es "Para que la reconozca en Mi perfil, por ejemplo “Mi teléfono”."
    passkey_too_late
        en "That took too long. Please try again."
        es "Se tardó demasiado. Inténtelo de nuevo."
    passkey_not_confirmed
        en "The passkey was not confirmed."
        es "La llave de acceso no se confirmó."
    passkey_not_accepted
        en "That passkey was not accepted."
        es "Esa llave de acceso no se aceptó."
    passkey_not_accepted_try
        en "That passkey was not accepted. Please try again."
        es "Esa llave de acceso no se aceptó. Inténtelo de nuevo."
    passkey_taken
        en "That passkey is in use already."
        es "Esa llave de acceso ya está en uso."
    passkey_is_added
        en "Your passkey is added"
        es "Su llave de acceso se añadió"
    log_in_with_it
        en "You can log in with it from now on."
        es "Desde ahora puede iniciar sesión con ella."

    // Recovery codes.
    recovery_codes
        en "Recovery codes"
        es "Códigos de recuperación"
    enter_recovery_code
        en "Enter a recovery code"
        es "Escriba un código de recuperación"
    recovery_code_lead
        en "One of the codes that you were shown when you set up multi-factor authentication. Each works once."
        es "Uno de los códigos que se le mostraron al configurar la autenticación multifactor. Cada uno funciona una sola vez."
    recovery_code_hint
        en "10 letters and digits, like abcde-fghjk."
        es "10 letras y dígitos, como abcde-fghjk."
    type_recovery_code
        en "Type the 10 letters and digits of a recovery code."
        es "Escriba las 10 letras y dígitos de un código de recuperación."
    recovery_code_wrong
        en "That recovery code is not right, or was used before."
        es "Ese código de recuperación no es correcto o ya se usó."
    your_recovery_codes
        en "Your recovery codes"
        es "Sus códigos de recuperación"
    recovery_codes_lead(account: &str, site: &str)
        en "With one of these you can log in when you don't have your other method at hand. Each works once, for {account} at {site}."
        es "Con uno de estos puede iniciar sesión cuando no tenga a mano su otro método. Cada uno funciona una sola vez, para {account} en {site}."
    recovery_codes_shown_once
        en "They are shown this one time. Print this page or write them down, and keep them where nobody else finds them."
        es "Se muestran solo esta vez. Imprima esta página o anótelos, y guárdelos donde nadie más los encuentre."
    kept_them_go_on
        en "I have kept them, go on"
        es "Los he guardado, continuar"
    no_recovery_codes_yet
        en "You have no recovery codes yet."
        es "Usted todavía no tiene códigos de recuperación."
    one_recovery_code_left
        en "You have 1 recovery code left."
        es "Le queda 1 código de recuperación."
    many_recovery_codes_left(count: impl std::fmt::Display)
        en "You have {count} recovery codes left."
        es "Le quedan {count} códigos de recuperación."
    few_recovery_codes
        en "Get new ones before you need them."
        es "Obtenga otros nuevos antes de necesitarlos."
    new_codes_replace
        en "New codes replace all that you have: the old ones will not work any more."
        es "Los códigos nuevos reemplazan a todos los que tiene: los anteriores dejarán de funcionar."
    show_new_codes
        en "Show new codes"
        es "Mostrar códigos nuevos"

    // Remembered devices.
    remembered_devices
        en "Remembered devices"
        es "Dispositivos recordados"
    remembered_devices_lead
        en "On these devices your password alone is enough to log in."
        es "En estos dispositivos basta con su contraseña para iniciar sesión."
    remembered_devices_for(span: &str)
        en "On these devices your password alone is enough to log in, for {span} each."
        es "En estos dispositivos basta con su contraseña para iniciar sesión, durante {span} en cada uno."
    no_device_remembered
        en "No device is remembered."
        es "No hay ningún dispositivo recordado."
    device_remembered
        en "Remembered"
        es "Recordado"
    device_last_used
        en "Last used"
        es "Último uso"
    device_network
        en "Network"
        es "Red"
    forget_device(device: &str, made: &str)
        en "Forget {device}, remembered {made}"
        es "Olvidar {device}, recordado el {made}"
    forget
        en "Forget"
        es "Olvidar"
    forget_all
        en "Forget all"
        es "Olvidar todos"
    device_forgotten
        en "Done. At the next log in there you are asked for your code again."
        es "Listo. En el próximo inicio de sesión allí se le pedirá de nuevo su código."
}
